// The button that asks a simulated colleague in, or sends it home.

import { useEffect, useRef, useState } from "react";
import { useConnection, useTidewire } from "tidewire/react";
import type { Actor } from "./actor.js";
import "./colleague.css";

type Mood = "out" | "coming" | "here" | "resting" | "lost";

const WORDS: Readonly<Record<Mood, { readonly button: string; readonly text: string }>> = {
  out: { button: "Invite a colleague", text: "Nobody here? A simulated one keeps you company." },
  coming: { button: "Marina is coming …", text: "Over a connection of her own." },
  here: { button: "Send Marina home", text: "Marina is here: write to her, or cut your network." },
  resting: { button: "Send Marina home", text: "Marina is having a rest, until you do something." },
  lost: { button: "Invite again", text: "Marina could not come: no connection." },
};

export function Colleague({ room, name }: { room: string; name: string }) {
  const client = useTidewire();
  const { state } = useConnection();
  const [mood, setMood] = useState<Mood>("out");
  const actor = useRef<Actor>(undefined);
  const connected = state === "connected";

  const leave = (): void => {
    actor.current?.leave();
    actor.current = undefined;
  };

  const come = async (): Promise<void> => {
    setMood("coming");
    try {
      const { Actor } = await import("./actor.js");
      const came = new Actor({
        room,
        name,
        userId: () => client.userId,
        onRest: (resting) => setMood(resting ? "resting" : "here"),
      });
      actor.current = came;
      await came.start();
      setMood("here");
    } catch {
      leave();
      setMood("lost");
    }
  };

  useEffect(() => leave, []);

  useEffect(() => {
    actor.current?.away(!connected);
  }, [connected, mood]);

  useEffect(() => {
    const followed = actor.current;
    followed?.follow(room).catch(() => {
      if (actor.current !== followed) return; // it was sent home meanwhile
      leave();
      setMood("lost");
    });
  }, [room, mood]);

  useEffect(() => {
    const seen = (): void => actor.current?.seen();
    const events = ["pointermove", "pointerdown", "keydown"] as const;
    events.forEach((event) => addEventListener(event, seen, { passive: true }));
    return () => events.forEach((event) => removeEventListener(event, seen));
  }, []);

  const { button, text } = WORDS[mood];
  const here = mood === "here" || mood === "resting";
  return (
    <div className="colleague" data-mood={mood}>
      <button
        type="button"
        disabled={mood === "coming"}
        onClick={() => (here ? (leave(), setMood("out")) : void come())}
      >
        {button}
      </button>
      <p role="status">{text}</p>
    </div>
  );
}
