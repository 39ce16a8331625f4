// The board's document: how it is read, whatever somebody has written there, and the patches that change it.

export const COLUMNS = [
  { id: "todo", name: "To do" },
  { id: "doing", name: "Doing" },
  { id: "done", name: "Done" },
] as const;
export type ColumnId = (typeof COLUMNS)[number]["id"];

export const COLORS = ["sea", "sand", "coral", "plum"] as const;
export type Color = (typeof COLORS)[number];

export const TITLE_MAX = 120;
export const CARDS_MAX = 120;
const BY_MAX = 40;
const ORDER_MAX = 1e9;

/** A card as the document has it, if all is well. */
export interface CardData {
  readonly title: string;
  readonly column: ColumnId;
  /** Its place among the others of its column. */
  readonly order: number;
  readonly color?: Color;
  /** Who has added it. */
  readonly by: string;
}

export interface BoardData {
  readonly cards: Readonly<Record<string, CardData>>;
}

export interface Card extends CardData {
  readonly id: string;
}

export type Columns = Readonly<Record<ColumnId, readonly Card[]>>;

/** What changes of cards, by id; `null`: it goes. */
export type CardsPatch = Record<string, Partial<Record<keyof CardData, string | number | null>> | null>;

/**
 * The cards by column and in order. Anybody may write anything: what has no title is no card (so is what is left of one
 * that was moved while somebody deleted it), and what else is missing is made up.
 */
export function readBoard(value: unknown): Columns {
  const columns: Record<ColumnId, Card[]> = { todo: [], doing: [], done: [] };
  const given = isObject(value) && isObject(value["cards"]) ? Object.entries(value["cards"]) : [];
  const cards = given.map(([id, fields]) => isObject(fields) && readCard(id, fields)).filter((card) => !!card);
  for (const card of cards.slice(0, CARDS_MAX)) columns[card.column].push(card);
  for (const { id } of COLUMNS) columns[id].sort((a, b) => a.order - b.order || (a.id < b.id ? -1 : 1));
  return columns;
}

function readCard(id: string, { title: said, column, order, color, by }: Record<string, unknown>): Card | undefined {
  const title = cleanTitle(said);
  const known = COLORS.find((each) => each === color);
  if (!title) return undefined;
  return {
    id,
    title,
    column: COLUMNS.find((each) => each.id === column)?.id ?? "todo",
    order: typeof order === "number" && Math.abs(order) <= ORDER_MAX ? order : 0,
    by: typeof by === "string" ? by.slice(0, BY_MAX) : "",
    ...(known && { color: known }),
  };
}

/** A title as it may be: one line, and not too long; "" if it is none. */
export function cleanTitle(title: unknown): string {
  return typeof title === "string" ? title.replace(/\s+/g, " ").trim().slice(0, TITLE_MAX) : "";
}

export function newCard(columns: Columns, title: string, column: ColumnId, by: string): CardsPatch {
  const order = (columns[column].at(-1)?.order ?? 0) + 1;
  return { [newId()]: { title: cleanTitle(title), column, order, by } };
}

/** Where the card is put, among the others of the column. Others are touched only where no number fits in between. */
export function move(columns: Columns, card: Card, column: ColumnId, index: number): CardsPatch {
  const others = columns[column].filter(({ id }) => id !== card.id);
  const place = { column, order: 0 };
  const [before, after] = [others[index - 1]?.order, others[index]?.order];
  if (before !== undefined && after !== undefined) place.order = (before + after) / 2;
  else if (before !== undefined) place.order = before + 1;
  else if (after !== undefined) place.order = after - 1;
  if (place.order !== before && place.order !== after && Math.abs(place.order) <= ORDER_MAX)
    return { [card.id]: place };
  const inOrder = [...others.slice(0, index), card, ...others.slice(index)];
  return Object.fromEntries(
    inOrder.map(({ id }, n) => [id, id === card.id ? { column, order: n + 1 } : { order: n + 1 }]),
  );
}

const EXAMPLES: readonly Omit<CardData, "by" | "order">[] = [
  { title: "Open this page in a second window, and edit together", column: "todo", color: "sand" },
  { title: "Cut the network, then move me: I’ll wait for it", column: "todo", color: "coral" },
  { title: "Rename one card while somebody else moves it", column: "todo" },
  { title: "Watch cursors go by", column: "doing", color: "sea" },
  { title: "Nobody else here? Ask for company above the chat", column: "doing", color: "plum" },
  { title: "Start Tidewire", column: "done" },
];

/** Some cards for who begins. */
export function examples(by: string): CardsPatch {
  return Object.fromEntries(EXAMPLES.map((card, n) => [newId(), { ...card, order: n + 1, by }]));
}

function newId(): string {
  return crypto.randomUUID().slice(0, 13);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
