// Other people's pointers over the board, and their word of one's own.

import { useEffect, useState, type CSSProperties, type RefObject } from "react";
import { useChannel, useTidewire } from "tidewire/react";
import { hue } from "../Face.js";
import { nameOf } from "../message.js";
import { CursorSender, GONE_AFTER_MS, heard, type Cursor } from "./pointers.js";

interface CursorsProps {
  readonly channel: string;
  readonly name: string;
  readonly surface: RefObject<HTMLElement | null>;
}

export function Cursors({ channel, name, surface }: CursorsProps) {
  const client = useTidewire();
  const [cursors, setCursors] = useState<readonly Cursor[]>([]);
  useChannel(channel, ({ name: event, data, sender, ephemeral }) => {
    if (event !== "cursor" || !ephemeral || sender.user_id === client.userId) return;
    const given = (data as { name?: unknown } | null)?.name;
    setCursors((before) => heard(before, sender.user_id, nameOf(given, sender.user_id), data, Date.now()));
  });

  useEffect(() => setCursors([]), [channel]);

  useEffect(() => {
    if (cursors.length === 0) return;
    const timer = setTimeout(() => {
      setCursors((before) => before.filter(({ heardMs }) => Date.now() - heardMs < GONE_AFTER_MS));
    }, GONE_AFTER_MS);
    return () => clearTimeout(timer);
  }, [cursors]);

  useEffect(() => {
    const element = surface.current;
    if (!element) return;
    const sender = new CursorSender(async (point) => {
      if (client.state !== "connected") return; // later it would be no news
      await client.channel(channel).publish("cursor", point && { ...point, name }, { ephemeral: true });
    });
    const move = (event: PointerEvent): void => {
      const { left, top, width, height } = element.getBoundingClientRect();
      const [x, y] = [(event.clientX - left) / width, (event.clientY - top) / height];
      if (x >= 0 && x <= 1 && y >= 0 && y <= 1) sender.move({ x: rounded(x), y: rounded(y) });
    };
    const leave = (): void => sender.move(null);
    element.addEventListener("pointermove", move);
    element.addEventListener("pointerleave", leave);
    return () => {
      element.removeEventListener("pointermove", move);
      element.removeEventListener("pointerleave", leave);
    };
  }, [client, channel, name, surface]);

  return (
    <div className="cursors" aria-hidden="true">
      {cursors.map(({ userId, name: whose, x, y }) => (
        <div
          key={userId}
          className="cursor"
          style={{ "--x": x * 100, "--y": y * 100, "--hue": hue(whose) } as CSSProperties}
        >
          <svg viewBox="0 0 16 18">
            <path d="M1 1l5 15 2.6-6.4L15 7z" />
          </svg>
          <span>{whose}</span>
        </div>
      ))}
    </div>
  );
}

function rounded(fraction: number): number {
  return Math.round(fraction * 1e4) / 1e4;
}
