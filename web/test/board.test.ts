import { expect, test, vi } from "vitest";
import { CARDS_MAX, move, newCard, readBoard, TITLE_MAX, type Card, type CardsPatch } from "../src/demo/board/cards.js";
import { CursorSender, GONE_AFTER_MS, heard, type Point } from "../src/demo/board/pointers.js";

const card = (order: number, column = "todo") => ({ title: `card ${order}`, column, order, by: "Ann" });
const titles = (cards: readonly Card[]): string[] => cards.map(({ title }) => title);

/** The board after the patch, as a server merges it. */
function patched(cards: Record<string, object>, patch: CardsPatch) {
  const next: Record<string, unknown> = { ...cards };
  for (const [id, fields] of Object.entries(patch)) next[id] = { ...cards[id], ...fields };
  return readBoard({ cards: next });
}

test("cards come by column and in order", () => {
  const board = readBoard({ cards: { a: card(2), b: card(1), c: card(1, "done") } });
  expect(titles(board.todo)).toEqual(["card 1", "card 2"]);
  expect(board.done[0]).toEqual({ id: "c", title: "card 1", column: "done", order: 1, by: "Ann" });
});

test.each([
  [undefined],
  [null],
  [7],
  ["cards"],
  [[1]],
  [{ cards: [] }],
  [{ cards: "x" }],
  [{ cards: { a: null, b: 3 } }],
])("what is no board is an empty one: %j", (value) =>
  expect(readBoard(value)).toEqual({ todo: [], doing: [], done: [] }),
);

test("what is wrong with a card is made up for", () => {
  const cards = JSON.parse(
    `{"__proto__": {"title": "  <b>x</b>\\n y ", "column": "nowhere", "order": "1", "color": "url(x)", "by": {}},
      "long": {"title": "${"x".repeat(500)}", "column": "doing", "order": 1e300, "by": "${"y".repeat(99)}"},
      "none": {"column": "doing", "order": 7}, "blank": {"title": " ", "column": "doing"}}`,
  ) as object;
  const { todo, doing } = readBoard({ cards });
  expect(todo).toEqual([{ id: "__proto__", title: "<b>x</b> y", column: "todo", order: 0, by: "" }]);
  expect(doing).toMatchObject([{ title: "x".repeat(TITLE_MAX), order: 0, by: "y".repeat(40) }]);
});

test("of very many cards not all are shown", () => {
  const cards = Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`c${n}`, card(n)]));
  expect(readBoard({ cards }).todo).toHaveLength(CARDS_MAX);
});

test("a new card comes last", () => {
  const cards = { a: card(5) };
  const patch = newCard(readBoard({ cards }), "  New ", "todo", "Bo");
  expect(Object.values(patch)).toEqual([{ title: "New", column: "todo", order: 6, by: "Bo" }]);
});

test.each([
  [0, ["card 3", "card 1", "card 2"]],
  [1, ["card 1", "card 3", "card 2"]],
  [2, ["card 1", "card 2", "card 3"]],
])("moved to place %d, only the moved card changes", (index, expected) => {
  const cards = { a: card(1), b: card(2), c: card(3) };
  const board = readBoard({ cards });
  const patch = move(board, board.todo[2] as Card, "todo", index);
  expect(Object.keys(patch)).toEqual(["c"]);
  expect(titles(patched(cards, patch).todo)).toEqual(expected);
});

test("moved to another column it keeps all but its place", () => {
  const cards = { a: card(1), b: card(2, "done") };
  const board = readBoard({ cards });
  const patch = move(board, board.todo[0] as Card, "done", 1);
  expect(patch).toEqual({ a: { column: "done", order: 3 } });
});

test("where no number fits in between, all of the column get new ones", () => {
  const cards = { a: card(1), b: { ...card(1), title: "twin" }, c: card(9) };
  const board = readBoard({ cards });
  const patch = move(board, board.todo[2] as Card, "todo", 1);
  expect(patch).toEqual({ a: { order: 1 }, c: { column: "todo", order: 2 }, b: { order: 3 } });
  expect(titles(patched(cards, patch).todo)).toEqual(["card 1", "card 9", "twin"]);
});

test("the own pointer is told seldom, the latest place last, and never before an answer", async () => {
  vi.useFakeTimers();
  const told: (Point | null)[] = [];
  let answer: () => void = () => undefined;
  const sender = new CursorSender((point) => {
    told.push(point);
    return new Promise<void>((resolve) => (answer = resolve));
  });
  for (let n = 1; n <= 9; n++) sender.move({ x: n / 10, y: 0 });
  expect(told).toEqual([{ x: 0.1, y: 0 }]);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(told).toHaveLength(1);
  answer();
  await vi.advanceTimersByTimeAsync(0);
  expect(told.at(-1)).toEqual({ x: 0.9, y: 0 });
  answer();
  sender.move(null);
  await vi.advanceTimersByTimeAsync(79);
  expect(told).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(1);
  expect(told.at(-1)).toBeNull();
  vi.useRealTimers();
});

test("others' pointers: the last place of each, gone when they say so, make no sense, or say nothing", () => {
  let cursors = heard([], "bo", "Bo", { x: 0.1, y: 0.2 }, 0);
  cursors = heard(cursors, "cy", "Cy", { x: 0.5, y: 0.5 }, 10);
  cursors = heard(cursors, "bo", "Bo", { x: 0.3, y: 0.4 }, 20);
  expect(cursors.map(({ userId, x }) => [userId, x])).toEqual([
    ["bo", 0.3],
    ["cy", 0.5],
  ]);
  expect(heard(cursors, "cy", "Cy", null, 30).map(({ userId }) => userId)).toEqual(["bo"]);
  expect(heard(cursors, "cy", "Cy", { x: "1", y: NaN }, 30).map(({ userId }) => userId)).toEqual(["bo"]);
  expect(heard(cursors, "di", "Di", { x: 0, y: 1 }, 20 + GONE_AFTER_MS).map(({ userId }) => userId)).toEqual(["di"]);
});
