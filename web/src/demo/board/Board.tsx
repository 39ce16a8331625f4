// A board of cards that several people edit at once: one document, and patches of what has changed.

import {
  DndContext,
  DragOverlay,
  MouseSensor,
  TouchSensor,
  useSensor,
  useSensors,
  type Announcements,
  type DragMoveEvent,
} from "@dnd-kit/core";
import { useRef, useState } from "react";
import { createPortal } from "react-dom";
import { channelOf } from "../room.js";
import "./board.css";
import { BoardCard } from "./BoardCard.js";
import { CARDS_MAX, COLUMNS, examples, move, newCard, type Card, type ColumnId } from "./cards.js";
import { Column } from "./Column.js";
import { Cursors } from "./Cursors.js";
import { useBoard } from "./useBoard.js";

/** Where what is dragged would be put. */
export interface Place {
  readonly column: ColumnId;
  readonly index: number;
}

// The result of a move is told below, however it was made.
const none = (): undefined => undefined;
const QUIET: Announcements = { onDragStart: none, onDragOver: none, onDragEnd: none, onDragCancel: none };

export function Board({ room, name }: { room: string; name: string }) {
  const channel = channelOf(room);
  const { columns, ready, error, saving, note, change } = useBoard(channel);
  const [dragged, setDragged] = useState<string>();
  const [place, setPlace] = useState<Place>();
  const [open, setOpen] = useState<string>(); // the card whose options are shown
  const [said, setSaid] = useState("");
  const surface = useRef<HTMLDivElement>(null);
  const sensors = useSensors(
    useSensor(MouseSensor, { activationConstraint: { distance: 6 } }),
    useSensor(TouchSensor, { activationConstraint: { delay: 220, tolerance: 8 } }),
  );

  const all = COLUMNS.flatMap(({ id }) => columns[id]);
  const full = all.length >= CARDS_MAX;
  const held = all.find(({ id }) => id === dragged);

  const put = (card: Card, { column, index }: Place): void => {
    const before = columns[column].findIndex(({ id }) => id === card.id);
    if (before === index) return;
    change(move(columns, card, column, index));
    const count = columns[column].length + (before < 0 ? 1 : 0);
    const columnName = COLUMNS.find(({ id }) => id === column)?.name;
    setSaid(`“${card.title}” is in ${columnName} now, ${index + 1} of ${count}.`);
  };

  const dragTo = (event: DragMoveEvent): void => {
    const next = placeOf(event);
    if (next?.column !== place?.column || next?.index !== place?.index) setPlace(next);
  };

  const drop = (): void => {
    if (held && place) put(held, place);
    setDragged(undefined);
    setPlace(undefined);
  };

  const remove = (card: Card): void => {
    change({ [card.id]: null });
    setSaid(`“${card.title}” is deleted.`);
  };

  return (
    <section className="board" aria-labelledby="board-title">
      <header className="board-head">
        <h2 id="board-title">Board</h2>
        <p className="board-note" role="status">
          {note || (saving.size > 0 ? `Saving ${saving.size === 1 ? "one card" : `${saving.size} cards`} …` : "")}
        </p>
      </header>
      {error && <p className="board-error">The board can’t be read: {error.message}</p>}
      {ready && !error && all.length === 0 && (
        <div className="board-empty">
          <p>
            <b>Nothing here yet.</b> Add a card, or begin with some that show what this board can do.
          </p>
          <button type="button" onClick={() => change(examples(name))}>
            Put up example cards
          </button>
        </div>
      )}
      <DndContext
        sensors={sensors}
        accessibility={{ announcements: QUIET }}
        onDragStart={({ active }) => setDragged(String(active.id))}
        onDragMove={dragTo}
        onDragOver={dragTo}
        onDragEnd={drop}
        onDragCancel={() => (setDragged(undefined), setPlace(undefined))}
      >
        <div className="board-scroll">
          <div className="board-surface" ref={surface}>
            {COLUMNS.map(({ id, name: title }, n) => (
              <Column
                key={id}
                id={id}
                title={title}
                count={columns[id].length}
                dropAtEnd={place?.column === id && place.index >= others(columns[id], dragged).length}
                onAdd={full ? undefined : (text) => change(newCard(columns, text, id, name))}
              >
                {columns[id].map((card, index) => (
                  <BoardCard
                    key={card.id}
                    card={card}
                    saving={saving.has(card.id)}
                    open={open === card.id}
                    dropBefore={place?.column === id && others(columns[id], dragged)[place.index]?.id === card.id}
                    onOpen={(shown) => setOpen(shown ? card.id : undefined)}
                    onChange={(fields) => change({ [card.id]: fields })}
                    onDelete={() => remove(card)}
                    moves={{
                      left: n > 0 && { column: at(n - 1), index: columns[at(n - 1)].length },
                      up: index > 0 && { column: id, index: index - 1 },
                      down: index < columns[id].length - 1 && { column: id, index: index + 1 },
                      right: n < COLUMNS.length - 1 && { column: at(n + 1), index: columns[at(n + 1)].length },
                    }}
                    onMove={(to) => put(card, to)}
                  />
                ))}
              </Column>
            ))}
            <Cursors channel={channel} name={name} surface={surface} />
          </div>
        </div>
        {createPortal(
          <DragOverlay dropAnimation={null}>
            {held && (
              <div className="board-card board-held" data-color={held.color}>
                {held.title}
              </div>
            )}
          </DragOverlay>,
          document.body,
        )}
      </DndContext>
      {full && <p className="board-error">The board is full: {CARDS_MAX} cards are the most.</p>}
      <p className="hidden" role="status">
        {said}
      </p>
    </section>
  );
}

function at(n: number): ColumnId {
  return (COLUMNS[n] as (typeof COLUMNS)[number]).id;
}

function others(cards: readonly Card[], id: string | undefined): readonly Card[] {
  return cards.filter((card) => card.id !== id);
}

/** Below how many cards of the column that it is over the middle of what is dragged is. */
function placeOf({ active, over }: DragMoveEvent): Place | undefined {
  const rect = active.rect.current.translated;
  if (!over || !rect) return undefined;
  const column = String(over.id) as ColumnId;
  const middle = rect.top + rect.height / 2;
  const cards = [...document.querySelectorAll<HTMLElement>(`[data-column="${column}"] [data-card]`)];
  const rest = cards.filter(({ dataset }) => dataset["card"] !== active.id);
  return { column, index: rest.filter((card) => middleOf(card) < middle).length };
}

function middleOf(element: HTMLElement): number {
  const { top, height } = element.getBoundingClientRect();
  return top + height / 2;
}
