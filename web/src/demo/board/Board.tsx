// A board of cards that several people edit at once: one document, and patches of what has changed.

import { DndContext, DragOverlay } from "@dnd-kit/core";
import { useEffect, useRef, useState } from "react";
import { createPortal } from "react-dom";
import { channelOf } from "../room.js";
import "./board.css";
import { BoardCard, type Edit, type Moves } from "./BoardCard.js";
import { CARDS_MAX, COLUMNS, examples, move, newCard, type Card, type Columns } from "./cards.js";
import { Column } from "./Column.js";
import { Cursors } from "./Cursors.js";
import { useBoard } from "./useBoard.js";
import { useDragging, type Place } from "./useDragging.js";

export function Board({ room, name }: { room: string; name: string }) {
  const channel = channelOf(room);
  const { columns, ready, error, saving, note, tell, change } = useBoard(channel);
  const [open, setOpen] = useState<string>(); // the card whose options are shown
  const [edit, setEdit] = useState<Edit>();
  const [said, setSaid] = useState("");
  const heading = useRef<HTMLHeadingElement>(null);
  const surface = useRef<HTMLDivElement>(null);
  const all = COLUMNS.flatMap(({ id }) => columns[id]);
  const full = all.length >= CARDS_MAX;

  const put = (card: Card, place: Place): void => {
    if (indexOf(columns, card, place) === place.index) return;
    change(move(columns, card, place.column, place.index));
    setSaid(wordsOf(columns, card, place));
  };
  const { held, place, context } = useDragging(all, put);
  const remove = (card: Card): void => {
    change({ [card.id]: null });
    setSaid(`“${card.title}” is deleted.`);
    heading.current?.focus(); // the button that had it is gone
  };

  const lost = edit && !all.some(({ id }) => id === edit.card);
  useEffect(() => {
    if (!lost) return;
    setEdit(undefined);
    tell("Somebody has deleted the card that you were editing");
    heading.current?.focus(); // the field that had it is gone
  }, [lost, tell]);

  return (
    <section className="board" aria-labelledby="board-title">
      <header className="board-head">
        <h2 id="board-title" ref={heading} tabIndex={-1}>
          Board
        </h2>
        <p className="board-note" role="status">
          {note || savingWords(saving.size)}
        </p>
      </header>
      {error && <p className="board-error">The board can’t be read: {error.message}</p>}
      {ready && !error && all.length === 0 && <Empty onFill={() => change(examples(name))} />}
      <DndContext {...context}>
        <div className="board-scroll">
          <div className="board-surface" ref={surface}>
            {COLUMNS.map(({ id, name: title }) => {
              const others = columns[id].filter((card) => card !== held);
              const before = place?.column === id ? others[place.index] : undefined;
              return (
                <Column
                  key={id}
                  id={id}
                  title={title}
                  count={columns[id].length}
                  dropAtEnd={place?.column === id && !before}
                  onAdd={full ? undefined : (text) => change(newCard(columns, text, id, name))}
                >
                  {columns[id].map((card) => (
                    <BoardCard
                      key={card.id}
                      card={card}
                      saving={saving.has(card.id)}
                      open={open === card.id}
                      edit={edit?.card === card.id ? edit : undefined}
                      dropBefore={card === before}
                      moves={movesOf(columns, card)}
                      onOpen={(shown) => setOpen(shown ? card.id : undefined)}
                      onEdit={setEdit}
                      onMove={(to) => put(card, to)}
                      onChange={(fields) => change({ [card.id]: fields })}
                      onDelete={() => remove(card)}
                    />
                  ))}
                </Column>
              );
            })}
            <Cursors channel={channel} name={name} surface={surface} />
          </div>
        </div>
        {createPortal(<Held card={held} />, document.body)}
      </DndContext>
      {full && <p className="board-error">The board is full: {CARDS_MAX} cards are the most.</p>}
      <p className="hidden" role="status">
        {said}
      </p>
    </section>
  );
}

function Empty({ onFill }: { onFill: () => void }) {
  return (
    <div className="board-empty">
      <p>
        <b>Nothing here yet.</b> Add a card, or begin with some that show what this board can do.
      </p>
      <button type="button" onClick={onFill}>
        Put up example cards
      </button>
    </div>
  );
}

/** What is under the pointer while a card is dragged. */
function Held({ card }: { card: Card | undefined }) {
  return (
    <DragOverlay dropAnimation={null}>
      {card && (
        <div className="board-card board-held" data-color={card.color}>
          {card.title}
        </div>
      )}
    </DragOverlay>
  );
}

function savingWords(count: number): string {
  if (count === 0) return "";
  return count === 1 ? "Saving one card …" : `Saving ${count} cards …`;
}

/** Its index in that column; -1 if it is in another. */
function indexOf(columns: Columns, card: Card, { column }: Place): number {
  return columns[column].findIndex(({ id }) => id === card.id);
}

function wordsOf(columns: Columns, card: Card, place: Place): string {
  const name = COLUMNS.find(({ id }) => id === place.column)?.name;
  const count = columns[place.column].length + Number(card.column !== place.column);
  return `“${card.title}” is in ${name} now, ${place.index + 1} of ${count}.`;
}

/** Where a card's buttons bring it: into another column as its last one. */
function movesOf(columns: Columns, card: Card): Moves {
  const { column } = card;
  const n = COLUMNS.findIndex(({ id }) => id === column);
  const index = columns[column].indexOf(card);
  const endOf = (beside: (typeof COLUMNS)[number] | undefined): Place | undefined =>
    beside && { column: beside.id, index: columns[beside.id].length };
  return {
    left: endOf(COLUMNS[n - 1]),
    up: index > 0 ? { column, index: index - 1 } : undefined,
    down: index < columns[column].length - 1 ? { column, index: index + 1 } : undefined,
    right: endOf(COLUMNS[n + 1]),
  };
}
