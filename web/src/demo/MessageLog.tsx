// The conversation: what is shown stays in its place, and the end stays in view for who is reading there.

import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { Message } from "./message.js";
import { MessageItem } from "./MessageItem.js";
import type { Person } from "./presence.js";
import type { RoomView } from "./room.js";

const SAME_SPEAKER_MS = 5 * 60_000;
const AT_END_PX = 60;

interface MessageLogProps {
  readonly room: RoomView;
  readonly userId: string;
  readonly others: readonly Person[];
  readonly onAgain: (message: Message) => void;
  /** The end is on the screen, or is no longer. */
  readonly onAtEnd: (atEnd: boolean) => void;
}

export function MessageLog({ room, userId, others, onAgain, onAtEnd }: MessageLogProps) {
  const { messages } = room;
  const seen = useMemo(() => seenBy(messages, others), [messages, others]);
  const { list, news, toEnd } = useEnd(room, onAtEnd);
  return (
    <>
      <div ref={list} className="messages" role="log" aria-label="Messages" tabIndex={0}>
        {messages.length === 0 && <p className="empty">{emptyWords(room)}</p>}
        <ol>
          {messages.map((message, index) => (
            <MessageItem
              key={message.id}
              message={message}
              own={message.userId === userId}
              follows={follows(message, messages[index - 1])}
              seenBy={seen.get(message.id)}
              onAgain={onAgain}
            />
          ))}
        </ol>
      </div>
      <button type="button" className="to-end" hidden={!news} onClick={toEnd}>
        New messages ↓
      </button>
    </>
  );
}

/** Keeps the end in view for who is there; tells who is not that there is something new. */
function useEnd({ name, messages }: RoomView, onAtEnd: (atEnd: boolean) => void) {
  const list = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const height = useRef(0);
  const shown = useRef<{ name?: string; lastId?: string | undefined }>({});
  const [news, setNews] = useState(false);

  const scrolled = useCallback(() => {
    const { scrollHeight, scrollTop, clientHeight } = list.current as HTMLDivElement;
    if (clientHeight === 0) return; // not on the screen
    if (clientHeight !== height.current) return; // nobody has scrolled: the observer below is told in a moment
    atEnd.current = scrollHeight - scrollTop - clientHeight < AT_END_PX;
    onAtEnd(atEnd.current);
    if (atEnd.current) setNews(false);
  }, [onAtEnd]);
  const toEnd = useCallback(() => {
    const element = list.current as HTMLDivElement;
    element.scrollTop = element.scrollHeight;
    scrolled();
  }, [scrolled]);

  useEffect(() => {
    const element = list.current as HTMLDivElement;
    element.addEventListener("scroll", scrolled, { passive: true });
    // A phone's keyboard takes its room from the conversation.
    const observer = new ResizeObserver(() => {
      height.current = element.clientHeight;
      if (atEnd.current) toEnd();
    });
    observer.observe(element);
    return () => {
      element.removeEventListener("scroll", scrolled);
      observer.disconnect();
    };
  }, [scrolled, toEnd]);
  // With each change of what is shown: a line on who has seen it takes its room as well.
  useLayoutEffect(() => {
    const last = messages.at(-1);
    const entered = shown.current.name !== name;
    const isNew = shown.current.lastId !== last?.id;
    shown.current = { name, lastId: last?.id };
    if (entered || atEnd.current || (isNew && last?.pending)) toEnd();
    else if (isNew) setNews(true);
  });
  return { list, news, toEnd };
}

function emptyWords({ problem, opening }: RoomView): string {
  return problem ?? (opening ? "Opening the room …" : "Nothing said yet. Begin.");
}

function follows(message: Message, before: Message | undefined): boolean {
  return before?.userId === message.userId && message.atMs - before.atMs < SAME_SPEAKER_MS;
}

/** By message: who has read up to there. It is others' messages that count: authors have read their own. */
function seenBy(messages: readonly Message[], others: readonly Person[]): ReadonlyMap<string, readonly string[]> {
  const seen = new Map<string, string[]>();
  for (const { userId, name, readOffset } of others) {
    const read = ({ offset = Infinity, userId: author }: Message): boolean => offset <= readOffset && author !== userId;
    const last = messages.findLast(read);
    if (last) seen.set(last.id, [...(seen.get(last.id) ?? []), name]);
  }
  return seen;
}
