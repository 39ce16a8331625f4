import { expect, test, vi } from "vitest";
import type { Publication, Tidewire } from "tidewire";
import { Room, roomNameProblem } from "../src/demo/room.js";

type Said = Partial<Publication> & { ephemeral?: true };

/** A room over a channel that the test speaks for; `me` is in it. */
function setUp(before: Publication[] = []) {
  const published: { data: unknown; messageId: string; settle: (error?: Error) => void }[] = [];
  let hear: (event: Said) => void = () => undefined;
  let reset: () => void = () => undefined;
  let kept: Publication[] = [];
  const channel = {
    on: (_: string, listener: typeof hear) => (hear = listener),
    onReset: (listener: typeof reset) => (reset = listener),
    subscribe: () => Promise.resolve(before),
    history: () => Promise.resolve({ publications: kept }),
    publish: (_: string, data: unknown, { messageId }: { messageId: string }) =>
      new Promise<void>((resolve, reject) => {
        published.push({ data, messageId, settle: (error) => (error ? reject(error) : resolve()) });
      }),
  };
  const room = new Room({ channel: () => channel } as unknown as Tidewire, "lobby", "me", () => undefined);
  const shown = () => room.view.messages.map(({ text, pending }) => (pending ? `${text} (${pending})` : text));
  return {
    room,
    shown,
    published,
    hear: (event: Said) => hear(event),
    reset: (now: Publication[]) => ((kept = now), reset()),
  };
}

function said(text: string, offset: number, fields: Partial<Publication> = {}): Publication {
  const sender = { user_id: "ann", connection_id: null };
  const base = {
    channel: "room:lobby",
    name: "said",
    priority: "normal",
    epoch: "e",
    prev_offset: offset - 1,
  } as const;
  const data = { text, author: "Ann" };
  return { ...base, data, offset, sender, message_id: `m${offset}`, published_at_ms: offset, ...fields };
}

test("what was said before stands before what is on its way, which takes its place when it comes", async () => {
  const { room, shown, published, hear } = setUp([said("before", 1)]);
  void room.say("mine", "Me");
  await vi.waitFor(() => expect(room.view.opening).toBe(false));
  expect(shown()).toEqual(["before", "mine (sending)"]);
  hear(said("theirs", 2));
  expect(shown()).toEqual(["before", "theirs", "mine (sending)"]);
  const own = { sender: { user_id: "me", connection_id: null }, message_id: published[0]?.messageId as string };
  hear(said("mine", 3, own));
  hear(said("after", 4));
  expect(shown()).toEqual(["before", "theirs", "mine", "after"]);
  expect(room.view.unread).toBe(2);
});

test("what could not be sent is sent again under the same id", async () => {
  const { room, shown, published } = setUp();
  void room.say("mine", "Me");
  published[0]?.settle(new Error("refused"));
  await vi.waitFor(() => expect(shown()).toEqual(["mine (failed)"]));
  const { text, messageId } = room.view.messages[0] as { text: string; messageId: string };
  void room.say(text, "Me", messageId);
  expect(shown()).toEqual(["mine (sending)"]);
  expect(published[1]?.messageId).toBe(published[0]?.messageId);
});

test("a failure is none when the message has come", async () => {
  const { room, shown, published, hear } = setUp();
  const saying = room.say("mine", "Me");
  const message_id = published[0]?.messageId as string;
  hear(said("mine", 1, { sender: { user_id: "me", connection_id: null }, message_id }));
  published[0]?.settle(new Error("timeout"));
  await saying;
  expect(shown()).toEqual(["mine"]);
});

test("nobody takes the place of another's message", () => {
  const { shown, hear } = setUp();
  hear(said("mine alone", 1, { message_id: "m" }));
  hear(said("instead of it", 2, { message_id: "m", sender: { user_id: "eve", connection_id: null } }));
  expect(shown()).toEqual(["mine alone", "instead of it"]);
});

test("what is not kept, or is no message, is not shown", () => {
  const { room, shown, hear } = setUp([said("other", 1, { name: "moved" })]);
  hear({ ...said("gone", 2), ephemeral: true });
  expect(shown()).toEqual([]);
  expect(room.view.unread).toBe(0);
});

test("after a reset there is what the server has, and what is on its way", async () => {
  const { room, shown, hear, reset } = setUp();
  hear(said("old", 1));
  void room.say("mine", "Me");
  reset([said("new", 9), said("newer", 8)]);
  await vi.waitFor(() => expect(shown()).toEqual(["newer", "new", "mine (sending)"]));
});

test.each([
  ["tide-pool", undefined],
  ["", "Give the room a name."],
  ["no spaces", "Use letters A–Z, digits and _ . : ~ % - only."],
  ["r".repeat(195), undefined],
  ["r".repeat(196), "A name has at most 195 characters."],
])("of the room name %j", (name, problem) => expect(roomNameProblem(name)).toBe(problem));
