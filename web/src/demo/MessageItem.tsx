// One message in the conversation.

import { memo } from "react";
import { Avatar } from "./Face.js";
import type { Message } from "./message.js";

const time = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const dayAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const NAMED = 2;

interface MessageItemProps {
  readonly message: Message;
  readonly own: boolean;
  /** The author has just spoken: leave out who and when. */
  readonly follows: boolean;
  /** The names of those who have read up to here, and no further. */
  readonly seenBy: readonly string[] | undefined;
  /** Send it again; offered on one that could not be sent. */
  readonly onAgain: (message: Message) => void;
}

export const MessageItem = memo(function MessageItem({ message, own, follows, seenBy, onAgain }: MessageItemProps) {
  const classes = ["message", own && "own", follows && "follows", message.pending];
  return (
    <li className={classes.filter(Boolean).join(" ")} data-id={message.id}>
      {!follows && !own && <Avatar name={message.author} />}
      {!follows && (
        <p className="head">
          <span className="author">{own ? "You" : message.author}</span>
          <Time atMs={message.atMs} />
        </p>
      )}
      <p className="text">{message.text}</p>
      {message.pending === "failed" && (
        <p className="note">
          Not sent.{" "}
          <button type="button" className="link" onClick={() => onAgain(message)}>
            Send again
          </button>
        </p>
      )}
      {seenBy && <Seen names={seenBy} />}
    </li>
  );
});

function Time({ atMs }: { readonly atMs: number }) {
  const date = new Date(atMs);
  const today = date.toDateString() === new Date().toDateString();
  return (
    <time dateTime={date.toISOString()} title={dayAndTime.format(date)}>
      {(today ? time : dayAndTime).format(date)}
    </time>
  );
}

/** Not read out as it moves on: it would drown what is said. */
function Seen({ names }: { readonly names: readonly string[] }) {
  const more = names.length - NAMED;
  const text = names.slice(0, NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
  return (
    <p className="seen" aria-live="off" title={names.join(", ")}>
      {names.slice(0, NAMED).map((name, index) => (
        <Avatar key={index} name={name} />
      ))}
      <span>Seen by {text}</span>
    </p>
  );
}
