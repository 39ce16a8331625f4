// Centrifugo's JavaScript client, as it comes from npm. Prints a line for each thing that its application is told.
// Usage: node subscriber.mjs <url> <token> <channel>
import { Centrifuge } from "centrifuge";
import WebSocket from "ws";

const [url, token, channel] = process.argv.slice(2);
const tell = (kind, what = {}) => console.log(JSON.stringify({ kind, ...what }));
const centrifuge = new Centrifuge(url, { token, websocket: WebSocket, minReconnectDelay: 50 });
const subscription = centrifuge.newSubscription(channel, { minResubscribeDelay: 50 });
subscription.on("publication", ({ offset }) => tell("publication", { offset }));
subscription.on("subscribed", ({ recovered, wasRecovering, streamPosition }) =>
  tell("subscribed", { anew: wasRecovering && !recovered, offset: streamPosition.offset }));
subscription.on("subscribing", ({ code }) => tell("subscribing", { code }));
subscription.on("error", ({ error }) => tell("error", { error }));
centrifuge.on("connecting", ({ code }) => tell("connecting", { code }));
subscription.subscribe();
centrifuge.connect();
