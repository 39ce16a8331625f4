import { expect, test } from "vitest";
import { credentials, isSendable, passOf } from "../../src/console/pass.js";

test("what looks like a token is sent as one, everything else as an API key", () => {
  expect(credentials(passOf(" eyJh.eyJz.c2ln\n"))).toEqual({ Authorization: "Bearer eyJh.eyJz.c2ln" });
  expect(credentials(passOf("Bearer eyJh.eyJz.c2ln"))).toEqual({ Authorization: "Bearer eyJh.eyJz.c2ln" });
  expect(credentials(passOf("tw_abc"))).toEqual({ "X-API-Key": "tw_abc" });
});

test("only what a header can have is sent", () => {
  expect(["tw_abc", "", "two words", "clé", "a\r\nb"].map(isSendable)).toEqual([true, false, false, false, false]);
});
