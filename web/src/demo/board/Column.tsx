// A column: its cards, and a field for one more.

import { useDroppable } from "@dnd-kit/core";
import { useState, type KeyboardEvent, type ReactNode } from "react";
import { cleanTitle, TITLE_MAX, type ColumnId } from "./cards.js";

interface ColumnProps {
  readonly id: ColumnId;
  readonly title: string;
  readonly count: number;
  readonly dropAtEnd: boolean;
  /** Not given: there is no more room. */
  readonly onAdd: ((title: string) => void) | undefined;
  readonly children: ReactNode;
}

export function Column({ id, title, count, dropAtEnd, onAdd, children }: ColumnProps) {
  const { setNodeRef, isOver } = useDroppable({ id });
  return (
    <section className="board-column" aria-label={title} data-column={id} data-over={isOver} ref={setNodeRef}>
      <h3>
        {title} <span className="board-count">{count}</span>
      </h3>
      <ul data-drop={dropAtEnd ? "end" : undefined}>{children}</ul>
      {onAdd && <Add column={title} onAdd={onAdd} />}
    </section>
  );
}

function Add({ column, onAdd }: { column: string; onAdd: (title: string) => void }) {
  const [text, setText] = useState("");
  const add = (): void => {
    const title = cleanTitle(text);
    if (title) onAdd(title);
    setText("");
  };
  const key = (event: KeyboardEvent): void => {
    if (event.key === "Enter" && !event.nativeEvent.isComposing) add();
    if (event.key === "Escape") setText("");
  };
  return (
    <div className="board-add">
      <input
        aria-label={`Add a card to ${column}`}
        placeholder="Add a card …"
        value={text}
        maxLength={TITLE_MAX}
        enterKeyHint="done"
        onChange={(event) => setText(event.target.value)}
        onKeyDown={key}
        onBlur={add}
      />
    </div>
  );
}
