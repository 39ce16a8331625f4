// Where there is space for one thing at a time: which one it is.

import { useSyncExternalStore } from "react";
import { Badge } from "./RoomList.js";

// Drawn upon 24 by 24.
const VIEWS = {
  chat: { label: "Chat", icon: "M4 5h16v11H10l-5 4v-4H4z" },
  board: { label: "Board", icon: "M4 5h5v14H4zM12 5h8v6h-8zM12 14h8v5h-8z" },
  people: {
    label: "People",
    icon: "M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 20c0-4 3-6 6.500-6s6.500 2 6.500 6M16 4.500a3.300 3.300 0 0 1 0 6.200M18.500 14.500c2 .8 3 2.800 3 5.500",
  },
  network: {
    label: "Network",
    icon: "M3 9c5.500-4.700 12.500-4.700 18 0M6.500 13c3.400-2.900 7.600-2.900 11 0M10 17c1.300-1 2.700-1 4 0",
  },
} as const;
export type View = keyof typeof VIEWS;

interface ViewsProps {
  readonly view: View;
  readonly unread: number;
  readonly onView: (view: View) => void;
}

export function Views({ view, unread, onView }: ViewsProps) {
  return (
    <nav className="views" aria-label="Views">
      {Object.entries(VIEWS).map(([name, { label, icon }]) => (
        <button key={name} type="button" aria-current={name === view || undefined} onClick={() => onView(name as View)}>
          <svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true">
            <path d={icon} />
          </svg>
          <span>{label}</span>
          {name === "chat" && <Badge count={unread} />}
        </button>
      ))}
    </nav>
  );
}

const wide = matchMedia("(width >= 68rem)"); // as style.css has it
const onWide = listening(wide, "change");
const onVisible = listening(document, "visibilitychange");

/** Whether all views are on the screen at once. */
export function useWide(): boolean {
  return useSyncExternalStore(onWide, () => wide.matches);
}

/** Whether the page is on the screen. */
export function usePageVisible(): boolean {
  return useSyncExternalStore(onVisible, () => document.visibilityState === "visible");
}

function listening(target: EventTarget, event: string): (tell: () => void) => () => void {
  return (tell) => {
    target.addEventListener(event, tell);
    return () => target.removeEventListener(event, tell);
  };
}
