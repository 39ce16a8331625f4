// One card: dragged by pointer or finger, edited in place; all else, and moving by keyboard, is in its options.

import { useDraggable } from "@dnd-kit/core";
import { useEffect, useRef, type KeyboardEvent, type SyntheticEvent } from "react";
import { cleanTitle, COLORS, TITLE_MAX, type Card, type Color } from "./cards.js";
import type { Place } from "./useDragging.js";

const MOVES = [
  { to: "left", name: "Move to the column before", sign: "←" },
  { to: "up", name: "Move up", sign: "↑" },
  { to: "down", name: "Move down", sign: "↓" },
  { to: "right", name: "Move to the next column", sign: "→" },
] as const;
type Direction = (typeof MOVES)[number]["to"];

/** Where a card may go. */
export type Moves = Readonly<Record<Direction, Place | undefined>>;

/** A title that is being edited. */
export interface Edit {
  readonly card: string;
  /** How it was when that began. */
  readonly before: string;
  readonly draft: string;
}

const COLOR_NAMES: Readonly<Record<Color, string>> = { sea: "Sea", sand: "Sand", coral: "Coral", plum: "Plum" };

interface BoardCardProps {
  readonly card: Card;
  readonly saving: boolean;
  readonly open: boolean;
  /** Of this card, if its title is being edited. */
  readonly edit: Edit | undefined;
  /** What is dragged would come before it. */
  readonly dropBefore: boolean;
  readonly moves: Moves;
  readonly onOpen: (open: boolean) => void;
  readonly onEdit: (edit: Edit | undefined) => void;
  readonly onMove: (to: Place) => void;
  readonly onChange: (fields: { title?: string; color?: Color | null }) => void;
  readonly onDelete: () => void;
}

export function BoardCard({
  card,
  saving,
  open,
  edit,
  dropBefore,
  moves,
  onOpen,
  onEdit,
  onMove,
  onChange,
  onDelete,
}: BoardCardProps) {
  const { setNodeRef, listeners, isDragging } = useDraggable({ id: card.id });
  const escape = (event: KeyboardEvent): void => {
    if (event.key === "Escape" && open) onOpen(false);
  };
  return (
    <li
      className="board-card"
      data-card={card.id}
      data-color={card.color}
      data-dragging={isDragging}
      data-drop={dropBefore ? "before" : undefined}
      ref={setNodeRef}
      onKeyDown={escape}
      {...listeners}
    >
      <Title card={card} edit={edit} onEdit={onEdit} onChange={(title) => onChange({ title })} />
      <div className="board-foot">
        <span className="board-by">{card.by}</span>
        {saving && <span className="board-saving">Saving …</span>}
        <button
          type="button"
          className="board-more"
          aria-label={`Options of ${card.title}`}
          aria-expanded={open}
          onClick={() => onOpen(!open)}
        >
          ⋯
        </button>
      </div>
      {open && <Tray card={card} moves={moves} onMove={onMove} onChange={onChange} onDelete={onDelete} />}
    </li>
  );
}

type TrayProps = Pick<BoardCardProps, "card" | "moves" | "onMove" | "onChange" | "onDelete">;

// The button that has moved a card: it is another one where the card is then, and keeps the focus.
let pressed: { readonly card: string; readonly to: Direction } | undefined;

/** A card's options. */
function Tray({ card, moves, onMove, onChange, onDelete }: TrayProps) {
  const tray = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (pressed?.card !== card.id) return;
    tray.current?.querySelector<HTMLElement>(`[data-move="${pressed.to}"]`)?.focus();
    pressed = undefined;
  });
  const go = (to: Direction): void => {
    const place = moves[to];
    if (!place) return;
    pressed = { card: card.id, to };
    onMove(place);
  };
  return (
    <div className="board-tray" ref={tray}>
      <div role="group" aria-label="Move">
        {MOVES.map(({ to, name, sign }) => (
          <button
            key={to}
            type="button"
            data-move={to}
            aria-label={name}
            aria-disabled={!moves[to]}
            onClick={() => go(to)}
          >
            {sign}
          </button>
        ))}
      </div>
      <div role="group" aria-label="Colour">
        {COLORS.map((color) => (
          <button
            key={color}
            type="button"
            className="board-color"
            data-color={color}
            aria-label={COLOR_NAMES[color]}
            aria-pressed={card.color === color}
            onClick={() => onChange({ color: card.color === color ? null : color })}
          />
        ))}
        <button type="button" className="board-delete" onClick={onDelete}>
          Delete
        </button>
      </div>
    </div>
  );
}

interface TitleProps extends Pick<BoardCardProps, "card" | "edit" | "onEdit"> {
  readonly onChange: (title: string) => void;
}

function Title({ card, edit, onEdit, onChange }: TitleProps) {
  const { id, title } = card;
  const back = useRef(false); // to the button, from the field
  if (!edit) {
    return (
      <button
        type="button"
        className="board-title"
        title="Edit"
        ref={(button) => {
          if (back.current) button?.focus();
          back.current = false;
        }}
        onClick={() => onEdit({ card: id, before: title, draft: title })}
      >
        {title}
      </button>
    );
  }
  const { before, draft } = edit;
  const save = (): void => {
    const next = cleanTitle(draft);
    // Who has changed nothing takes nothing back that others have changed meanwhile.
    if (next && next !== before) onChange(next);
    onEdit(undefined);
  };
  const key = (event: KeyboardEvent): void => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Enter" || event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      back.current = true;
      if (event.key === "Enter") save();
      else onEdit(undefined);
    }
  };
  const keep = (event: SyntheticEvent): void => event.stopPropagation(); // selecting text drags no card
  return (
    <textarea
      className="board-field"
      aria-label="Title"
      autoFocus
      rows={2}
      maxLength={TITLE_MAX}
      value={draft}
      onFocus={({ target }) => {
        // Where somebody else has moved the card, the field is a new one: writing goes on at the end.
        if (draft === before) target.select();
        else target.setSelectionRange(draft.length, draft.length);
      }}
      onChange={(event) => onEdit({ ...edit, draft: event.target.value })}
      onKeyDown={key}
      onBlur={save}
      onMouseDown={keep}
      onTouchStart={keep}
    />
  );
}
