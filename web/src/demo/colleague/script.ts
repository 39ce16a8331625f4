// What the simulated colleague says and does. `{name}` is whom it talks to.

import type { CardData } from "../board/cards.js";

export const NAME = "Marina";

/** One thing that it does. */
export type Beat =
  | { readonly do: "say"; readonly text: string }
  | { readonly do: "add"; readonly card: Omit<CardData, "order" | "by"> }
  | { readonly do: "move" } // the card that it has added first, to the next column
  | { readonly do: "rename"; readonly title: string } // the card that it has added last
  | { readonly do: "wander" }; // with the pointer

export interface Script {
  /** In this order, when it has come. */
  readonly tour: readonly Beat[];
  /** Over and over, when that is done. */
  readonly idle: readonly Beat[];
  /** In this order, while the user has no connection; then it waits. */
  readonly away: readonly string[];
  /** When the user is back. */
  readonly back: string;
  /** In another room. */
  readonly followed: string;
  /** The first that fits is said. */
  readonly answers: readonly { readonly to: RegExp; readonly say: string }[];
  /** To anything else, one after another. */
  readonly otherwise: readonly string[];
}

export const SCRIPT: Script = {
  tour: [
    {
      do: "say",
      text: "Hi {name}! I’m Marina: a script with a connection of my own. So everything you see me do is real.",
    },
    { do: "wander" },
    { do: "add", card: { title: "Say hello to {name}", column: "doing", color: "plum" } },
    { do: "say", text: "I’ve put a card on the board. Rename it while I move it: both changes stay." },
    { do: "move" },
    { do: "wander" },
    {
      do: "say",
      text: "Now switch the network off, down there or in your flight mode. I’ll keep talking, and you won’t miss a word.",
    },
    { do: "add", card: { title: "Water the seaweed", column: "todo", color: "sea" } },
    { do: "wander" },
    { do: "rename", title: "Water the seaweed (it is under water)" },
    { do: "say", text: "Or let only long polling through. Looks the same, doesn’t it? That’s the point." },
    { do: "move" },
  ],
  idle: [
    { do: "wander" },
    { do: "wander" },
    { do: "move" },
    { do: "wander" },
    { do: "rename", title: "Water the seaweed, again" },
    { do: "wander" },
    { do: "wander" },
    { do: "rename", title: "Water the seaweed" },
  ],
  away: [
    "{name}? You’ve gone. I’ll just go on.",
    "You’ll get this one when you are back.",
    "And this one, in its place.",
    "What you write now waits on your side, and comes to me once.",
    "I’ll be here.",
  ],
  back: "There you are! Look at the network panel: it says what was recovered.",
  followed: "I’ve come along.",
  answers: [
    { to: /\b(hi|hello|hey|hallo|moin)\b/i, say: "Hello {name}! Nice to have somebody here." },
    { to: /\b(bye|ciao|good ?night)\b/i, say: "See you, {name}! The button that called me sends me home, too." },
    { to: /\b(thanks?|thx|danke)\b/i, say: "You’re welcome." },
    {
      to: /\b(network|offline|connection|wi-?fi)\b/i,
      say: "Switch it off and write something. It waits, and is sent once when you are back: in order, and not twice.",
    },
    {
      to: /\b(board|cards?|drag)\b/i,
      say: "Only what you change of a card goes over the wire. So two people can edit one card at once.",
    },
    { to: /\b(cursor|pointer|mouse)\b/i, say: "Pointers are ephemeral: told to who is there now, and kept by nobody." },
    {
      to: /\b(aws|lambda|server|cost)\b/i,
      say: "There is no server: API Gateway, Lambda, SQS, EventBridge and DynamoDB, paid by use.",
    },
    {
      to: /\b(who|bot|human|real)\b/i,
      say: "I’m some lines of script and a guest’s token. But my messages take the same way as yours.",
    },
    { to: /\bhow are you\b/i, say: "Connected, and at rest. And you?" },
    { to: /\?\s*$/, say: "Good question. I only know my lines, but try the network panel: it answers most." },
  ],
  otherwise: [
    "Got it: from you to me through a queue, a table and a bus, in less than the blink of an eye.",
    "Noted! Look below your message: the marker says that I’ve read it.",
    "I’m all ears. Well, all sockets.",
    "True. Did you try to kill the connection while I write?",
  ],
};
