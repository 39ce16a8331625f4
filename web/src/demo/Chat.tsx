// The conversation in a room, who types, and the field to write in.

import { useCallback, useEffect, useRef, useState, type FormEvent, type KeyboardEvent } from "react";
import { useTidewire } from "tidewire/react";
import { Colleague } from "./colleague/Colleague.js";
import type { Message } from "./message.js";
import { MessageLog } from "./MessageLog.js";
import type { PeopleView, Person } from "./presence.js";
import { channelOf, type RoomView } from "./room.js";

interface ChatProps extends PeopleView {
  readonly room: RoomView;
  readonly name: string;
  readonly userId: string;
  /** Somebody looks at it. */
  readonly attended: boolean;
  readonly onSay: (text: string, messageId?: string) => void;
}

export function Chat({ room, name, userId, attended, others, count, type, onSay }: ChatProps) {
  const [atEnd, setAtEnd] = useState(true);
  useReadMarker(room, attended && atEnd);
  const again = useCallback(({ text, messageId }: Message) => onSay(text, messageId), [onSay]);
  return (
    <section className="view-chat" aria-labelledby="chat-title">
      <Company alone={count === 1} room={room.name} name={name} />
      <div className="conversation">
        <MessageLog room={room} userId={userId} others={others} onAgain={again} onAtEnd={setAtEnd} />
      </div>
      <Typing others={others} />
      <Composer room={room.name} onType={type} onSay={onSay} />
    </section>
  );
}

/** Tell the others up to where this user has read. */
function useReadMarker({ name, messages }: RoomView, reading: boolean): void {
  const client = useTidewire();
  const offset = messages.findLast((message) => message.offset !== undefined)?.offset;
  useEffect(() => {
    if (reading && offset !== undefined) client.channel(channelOf(name)).presence.markRead(offset);
  }, [client, name, offset, reading]);
}

interface CompanyProps {
  readonly alone: boolean;
  readonly room: string;
  readonly name: string;
}

/** The way to company: one person alone sees little of what this page can do. */
function Company({ alone, room, name }: CompanyProps) {
  return (
    <div className="company" data-alone={alone}>
      <h2 id="chat-title">Chat</h2>
      {alone && (
        <p className="alone">
          <strong>You are alone here.</strong> Open{" "}
          <a href={`#${encodeURIComponent(room)}`} target="_blank" rel="noopener">
            a second window
          </a>
          : it is another person.
        </p>
      )}
      <Colleague room={room} name={name} />
    </div>
  );
}

function Typing({ others }: { readonly others: readonly Person[] }) {
  const names = others.filter(({ types }) => types).map(({ name }) => name);
  return (
    <p className="typing">
      {names.length > 0 && (
        <>
          <span className="dots" aria-hidden="true">
            <i />
            <i />
            <i />
          </span>
          <span className="who">{typingWords(names)}</span>
        </>
      )}
    </p>
  );
}

function typingWords(names: readonly string[]): string {
  if (names.length > 2) return "Several people are typing …";
  return names.length === 2 ? `${names.join(" and ")} are typing …` : `${names[0]} is typing …`;
}

interface ComposerProps {
  readonly room: string;
  readonly onType: (active?: boolean) => void;
  readonly onSay: (text: string) => void;
}

function Composer({ room, onType, onSay }: ComposerProps) {
  const form = useRef<HTMLFormElement>(null);
  const field = useRef<HTMLTextAreaElement>(null);
  const drafts = useRef(new Map<string, string>());
  // What was begun in a room waits there, and is not sent in another.
  useEffect(() => {
    const input = field.current as HTMLTextAreaElement;
    input.value = drafts.current.get(room) ?? "";
    input.focus();
    return () => void drafts.current.set(room, input.value);
  }, [room]);

  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const input = field.current as HTMLTextAreaElement;
    const text = input.value.trim();
    if (!text) return;
    input.value = "";
    onType(false);
    onSay(text);
  };
  const pressed = (event: KeyboardEvent): void => {
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    form.current?.requestSubmit();
  };

  return (
    <form ref={form} className="compose" onSubmit={submit} noValidate>
      <label htmlFor="text" className="hidden">
        Message
      </label>
      <textarea
        id="text"
        ref={field}
        rows={1}
        placeholder="Say something"
        maxLength={4000}
        onInput={(event) => onType(event.currentTarget.value !== "")}
        onKeyDown={pressed}
      />
      <button type="submit" className="primary">
        Send
      </button>
    </form>
  );
}
