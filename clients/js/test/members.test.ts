// Who is there, to a receiver: golden scenarios that every client is held to, and a network that does its worst.

import { describe, expect, test } from "vitest";
import golden from "../../../tests/golden/members.json";
import type { Member, PresencePush } from "../src/generated/frames.js";
import { Members, type MembersPush } from "../src/members.js";
import { seeded, shuffled, type Frame } from "./fakes.js";

interface Step {
  readonly call: string;
  readonly at_ms?: number;
  readonly pages?: (Frame & { readonly members: Frame[] })[];
  readonly push?: Frame & { readonly member?: Frame };
}

function member(fields: Frame): Member {
  return { status: "online", active: true, data: null, connections: 1, ...fields } as Member;
}

function take(members: Members, { call, pages = [], push, at_ms: nowMs = 0 }: Step): void {
  switch (call) {
    case "asked":
      return members.asked();
    case "answered":
      return members.answered(pages.map((page) => ({ ...page, members: page.members.map(member) })) as never, nowMs);
    case "push": {
      const about = push?.member ? { member: member(push.member) } : {};
      return members.push({ type: "presence", channel: "room:a", ...push, ...about } as unknown as MembersPush, nowMs);
    }
    case "wait":
      return;
    default:
      throw new Error(`no such call: ${call}`);
  }
}

describe("golden", () => {
  const scenarios = (golden as unknown as { name: string; steps: Step[] }[]).map(({ name, steps }) => [name, steps]);

  test.each(scenarios as [string, Step[]][])("%s", (_name, steps) => {
    const members = new Members();
    steps.forEach((step, index) => {
      const nowMs = step.at_ms ?? 0;
      take(members, step);
      const seen = {
        members: Object.fromEntries([...members.byUser].map(([user, { status }]) => [user, status])),
        count: members.count,
        needs_get: members.needsGet(nowMs),
        typing: members.typing(nowMs).sort(),
      };
      const told = Object.keys(seen).filter((name) => name in step);
      const of = (all: object) => told.map((name) => [name, (all as Frame)[name]]);
      expect(of(seen), `step ${index}: ${step.call}`).toEqual(of(step));
    });
  });
});

test("says when time alone will change something", () => {
  const members = new Members();
  expect(members.nextMs).toBe(Infinity);
  members.answered([{ members: [], count: 0, version: 0 }], 0);
  expect(members.nextMs).toBe(Infinity);
  members.push({ type: "typing", channel: "room:a", user_id: "bob", active: true }, 500);
  expect(members.nextMs).toBe(8_500);
  const join = { type: "presence", channel: "room:a", event: "join", count: 2, version: 2 } as const;
  members.push({ ...join, member: member({ user_id: "bob" }) }, 600);
  expect(members.nextMs).toBe(1_600);
  members.asked();
  expect(members.nextMs).toBe(8_500);
  members.typing(8_500);
  expect(members.nextMs).toBe(Infinity);
});

/** A channel in which users come, change and go; what is told of it, and how it is. */
function told(random: () => number): { pushes: PresencePush[]; answers: { members: Member[]; count: number }[] } {
  const users = new Map<string, Member>();
  const pushes: PresencePush[] = [];
  const answers = [{ members: [] as Member[], count: 0 }];
  for (let version = 1; version <= 30; version++) {
    const user_id = `u${Math.floor(random() * 6)}`;
    const leaves = users.has(user_id) && random() < 0.4;
    const event = leaves ? "leave" : users.has(user_id) ? "update" : "join";
    const one = member({ user_id, data: version });
    if (leaves) users.delete(user_id);
    else users.set(user_id, one);
    pushes.push({ type: "presence", channel: "room:a", event, member: one, count: users.size, version });
    answers.push({ members: [...users.values()], count: users.size });
  }
  return { pushes, answers };
}

function listed(members: Iterable<Member>): Member[] {
  return [...members].sort((a, b) => (a.user_id < b.user_id ? -1 : 1));
}

test.each(Array.from({ length: 50 }, (_, seed) => seed))("any network leads to who is there (seed %i)", (seed) => {
  const random = seeded(seed);
  const { pushes, answers } = told(random);
  const members = new Members();
  const answer = (version: number): void => {
    members.answered([{ ...(answers[version] as (typeof answers)[0]), version }], 0);
  };
  answer(Math.floor(random() * 10));
  const arrived = shuffled([...pushes, ...pushes.slice(0, 10)], random).filter(() => random() < 0.95);
  for (const push of arrived) {
    members.push(push, 0);
    if (random() < 0.03) members.asked();
  }
  if (members.needsGet(1_000)) members.asked();
  // What was lost at the end shows in nothing but the next answer.
  answer(30);
  expect(listed(members.byUser.values())).toEqual(listed((answers[30] as (typeof answers)[0]).members));
  expect(members.needsGet(9_000)).toBe(false);
});

test.each(Array.from({ length: 50 }, (_, seed) => seed))("any order leads to who is there (seed %i)", (seed) => {
  const random = seeded(seed + 100);
  const { pushes, answers } = told(random);
  const members = new Members();
  const early = shuffled(pushes, random).slice(0, 5);
  for (const push of early) members.push(push, 0);
  const version = Math.floor(random() * 20);
  members.answered([{ ...(answers[version] as (typeof answers)[0]), version }], 0);
  for (const push of shuffled([...pushes, ...early], random)) members.push(push, 0);
  expect(listed(members.byUser.values())).toEqual(listed((answers[30] as (typeof answers)[0]).members));
  expect([members.count, members.needsGet(9_000)]).toEqual([(answers[30] as (typeof answers)[0]).count, false]);
});
