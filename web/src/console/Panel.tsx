// What all panels are made of: a card with a heading, figures with their names, texts that may be long.

import { useId, type ReactNode } from "react";
import { beginning, count } from "./format.js";

interface PanelProps {
  readonly title: string;
  /** As wide as its column. */
  readonly whole?: boolean;
  readonly busy?: boolean;
  /** Beside the heading. */
  readonly aside?: ReactNode;
  readonly children: ReactNode;
}

export function Panel({ title, whole = false, busy = false, aside, children }: PanelProps) {
  const id = useId();
  return (
    <section className={whole ? "card panel whole" : "card panel"} aria-labelledby={id} aria-busy={busy}>
      <header>
        <h2 id={id}>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  );
}

export interface Shown {
  readonly label: string;
  readonly value: string | undefined;
  /** A second figure. */
  readonly beside?: string | undefined;
  /** Which line of the chart it is of. */
  readonly line?: number;
  /** It asks for somebody to look. */
  readonly bad?: boolean;
}

export function Figures({ of, small = false }: { readonly of: readonly Shown[]; readonly small?: boolean }) {
  return (
    <dl className={small ? "figures small-figures" : "figures"}>
      {of.map((one) => (
        <Figure key={one.label} {...one} />
      ))}
    </dl>
  );
}

function Figure({ label, value = "–", beside, line, bad = false }: Shown) {
  return (
    <div>
      <dt>
        {line !== undefined && <i className="swatch" data-line={line} />}
        {label}
      </dt>
      <dd className={bad ? "bad" : ""}>{value}</dd>
      {beside !== undefined && <dd className="beside">{beside}</dd>}
    </div>
  );
}

const SHORT = 160;

/** A text, of which what is too long is shown when asked for. */
export function Text({ of, short = SHORT }: { readonly of: string; readonly short?: number }) {
  if (of.length <= short) return <span className="text">{of}</span>;
  return (
    <details className="text">
      <summary>
        <span className="cut">{beginning(of, short)}…</span> <span className="more">all {count(of.length)}</span>
      </summary>
      <span className="whole" tabIndex={0}>
        {of}
      </span>
    </details>
  );
}
