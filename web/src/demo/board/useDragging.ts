// Dragging a card by mouse or finger: which one, and where it would be put.

import {
  MouseSensor,
  TouchSensor,
  useSensor,
  useSensors,
  type Announcements,
  type DndContextProps,
  type DragMoveEvent,
} from "@dnd-kit/core";
import { useState } from "react";
import type { Card, ColumnId } from "./cards.js";

/** A place among the other cards of a column. */
export interface Place {
  readonly column: ColumnId;
  readonly index: number;
}

interface Dragging {
  /** What is dragged. */
  readonly held: Card | undefined;
  readonly place: Place | undefined;
  /** For the DndContext. */
  readonly context: DndContextProps;
}

// The board tells of all moves, however they are made.
const none = (): undefined => undefined;
const QUIET: Announcements = { onDragStart: none, onDragOver: none, onDragEnd: none, onDragCancel: none };

export function useDragging(cards: readonly Card[], put: (card: Card, place: Place) => void): Dragging {
  const [dragged, setDragged] = useState<string>();
  const [place, setPlace] = useState<Place>();
  const sensors = useSensors(
    useSensor(MouseSensor, { activationConstraint: { distance: 6 } }),
    useSensor(TouchSensor, { activationConstraint: { delay: 220, tolerance: 8 } }), // sooner it is scrolling
  );
  const held = cards.find(({ id }) => id === dragged);
  const to = (event: DragMoveEvent): void => {
    const next = placeOf(event);
    if (next?.column !== place?.column || next?.index !== place?.index) setPlace(next);
  };
  const end = (): void => {
    setDragged(undefined);
    setPlace(undefined);
  };
  const context: DndContextProps = {
    sensors,
    accessibility: { announcements: QUIET },
    onDragStart: ({ active }) => setDragged(String(active.id)),
    onDragMove: to,
    onDragOver: to,
    onDragEnd: () => {
      if (held && place) put(held, place);
      end();
    },
    onDragCancel: end,
  };
  return { held, place, context };
}

/** Below how many other cards of the column under it the middle of what is dragged is. */
function placeOf({ active, over }: DragMoveEvent): Place | undefined {
  const rect = active.rect.current.translated;
  if (!over || !rect) return undefined;
  const column = String(over.id) as ColumnId;
  const middle = rect.top + rect.height / 2;
  const cards = [...document.querySelectorAll<HTMLElement>(`[data-column="${column}"] [data-card]`)];
  const others = cards.filter(({ dataset }) => dataset["card"] !== active.id);
  return { column, index: others.filter((card) => middleOf(card) < middle).length };
}

function middleOf(element: HTMLElement): number {
  const { top, height } = element.getBoundingClientRect();
  return top + height / 2;
}
