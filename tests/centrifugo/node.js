// Calls functions that come on standard input, one a line as JSON: {"script", "arguments"}; answers {"result"} or
// {"error"} on standard output. Beside them is Centrifugo's client. Node 20 has WebSocket and EventSource by flags.
import readline from "node:readline";

import { Centrifuge } from "centrifuge";

globalThis.Centrifuge = Centrifuge;
await import("./harness.js");

for await (const line of readline.createInterface({ input: process.stdin })) {
  const call = JSON.parse(line);
  let answer;
  try {
    answer = { result: await (0, eval)(call.script)(...call.arguments) };
  } catch (error) {
    answer = { error: error.stack ?? JSON.stringify(error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
