// Where there is space for one thing at a time: which one it is.

import { useSyncExternalStore } from "react";
import { Badge } from "./RoomList.js";

// Drawn upon 24 by 24.
const VIEWS = {
  chat: { label: "Chat", icon: "M4 5h16v11H10l-5 4v-4H4z" },
  board: { label: "Board", icon: "M4 5h5v14H4zM12 5h8v6h-8zM12 14h8v5h-8z" },
  people: {
    label: "People",
    icon: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c0-4 3-6 6.5-6s6.5 2 6.5 6M16 4.5a3.3 3.3 0 0 1 0 6.2M18.5 14.5c2 .8 3 2.8 3 5.5",
  },
  network: {
    label: "Network",
    icon: "M3 9c5.5-4.7 12.5-4.7 18 0M6.5 13c3.4-2.9 7.6-2.9 11 0M10 17c1.3-1 2.7-1 4 0",
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
