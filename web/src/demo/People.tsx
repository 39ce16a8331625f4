// Who is here: as faces in the bar, and as a list that says more.

import { Face } from "./Face.js";
import { STATUSES, type PeopleView, type Person, type Status } from "./presence.js";

const FACES = 5;

export function Faces({ others, count }: Pick<PeopleView, "others" | "count">) {
  const shown = others.slice(0, FACES);
  return (
    <div className="faces">
      <ul aria-label="Others who are here">
        {shown.map((person) => (
          <li key={person.userId} title={`${person.name}: ${wordsOf(person)}`}>
            <Face {...person} />
            <span className="hidden">{`${person.name}: ${wordsOf(person)}`}</span>
          </li>
        ))}
      </ul>
      <span className="here" role="status">
        {count > 0 && `${count} here`}
      </span>
    </div>
  );
}

interface PeopleProps extends Pick<PeopleView, "others" | "count"> {
  readonly name: string;
  readonly status: Status;
}

export function People({ others, count, name, status }: PeopleProps) {
  const unseen = count - others.length - 1;
  return (
    <section className="view-people" aria-labelledby="people-title">
      <h2 id="people-title">People</h2>
      <ul>
        <li>
          <Face name={name} status={status} />
          <span className="who">
            <span className="person-name">{name}</span> (you)
          </span>
          <span className="how">{STATUSES[status]}</span>
        </li>
        {others.map((person) => (
          <li key={person.userId}>
            <Face {...person} />
            <span className="who">
              <span className="person-name">{person.name}</span>
            </span>
            <span className="how">{wordsOf(person)}</span>
          </li>
        ))}
      </ul>
      {unseen > 0 && <p className="more">and {unseen} more</p>}
    </section>
  );
}

function wordsOf({ status, idle, types }: Person): string {
  if (types) return "Typing …";
  const said = status === "offline" ? "Offline" : STATUSES[status];
  return idle ? `${said}, idle` : said;
}
