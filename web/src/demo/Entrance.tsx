// Who comes in gives a name.

import { useState, type FormEvent } from "react";
import { lastName } from "./session.js";

export function Entrance({ onEnter }: { readonly onEnter: (name: string) => void }) {
  const [name, setName] = useState(lastName);
  const [problem, setProblem] = useState("");

  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const given = name.trim();
    setProblem(given ? "" : "Please give a name.");
    if (given) onEnter(given);
  };

  return (
    <main className="entrance">
      <form className="welcome" onSubmit={submit} noValidate>
        <img src="/icon.svg" alt="" width="56" height="56" />
        <h1>Tidewire</h1>
        <p className="lead">
          A small shared workspace: talk, move cards, see who is there. All of it goes through API Gateway, SQS,
          EventBridge and DynamoDB, and comes back while you look.
        </p>
        <label htmlFor="name">Your name</label>
        <input
          id="name"
          value={name}
          onChange={(event) => setName(event.target.value)}
          autoComplete="nickname"
          maxLength={40}
          required
          autoFocus
          aria-invalid={problem !== ""}
          aria-describedby="name-error"
        />
        <p id="name-error" className="error" role="alert">
          {problem}
        </p>
        <button type="submit" className="primary">
          Come in
        </button>
        <p className="hint">Then open a second window: it is another person.</p>
      </form>
    </main>
  );
}
