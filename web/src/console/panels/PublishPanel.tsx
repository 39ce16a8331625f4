// Publishes by hand. What is wrong is told at its field.

import { useState, type SubmitEvent } from "react";
import { Refusal, type Api, type Draft } from "../api.js";
import { Panel } from "../Panel.js";

type Field = "channel" | "name" | "data";
type Faults = Readonly<Partial<Record<Field | "all", string>>>;

interface PublishProps {
  readonly api: Api;
  /** The one that is followed: proposed. */
  readonly channel: string;
}

export function PublishPanel({ api, channel }: PublishProps) {
  const [faults, setFaults] = useState<Faults>({});
  const [said, setSaid] = useState("");
  const [busy, setBusy] = useState(false);
  const [ephemeral, setEphemeral] = useState(false);

  const submit = async (event: SubmitEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    const field = (name: string): string => String(fields.get(name) ?? "");
    setSaid("");
    const draft = { channel: field("channel").trim(), name: field("name").trim(), priority: field("priority") };
    const data = parsed(field("data"));
    const found: Faults = {
      ...(draft.channel === "" && { channel: "Which channel?" }),
      ...(draft.name === "" && { name: "An event has a name." }),
      ...("fault" in data && { data: data.fault }),
    };
    setFaults(found);
    if (Object.keys(found).length > 0 || "fault" in data) return focusFirst(event.currentTarget);
    setBusy(true);
    const form = event.currentTarget;
    try {
      const priority = ephemeral ? undefined : (draft.priority as Draft["priority"]);
      await api.publish({ ...draft, priority, data: data.value, ephemeral });
      setSaid(ephemeral ? "Published, for who is there now." : "Published.");
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      setFaults(faultsOf(error));
      focusFirst(form);
    } finally {
      setBusy(false);
    }
  };

  return (
    <Panel title="Publish">
      <form className="publish" onSubmit={(event) => void submit(event)} noValidate>
        <Input label="Channel" name="channel" key={channel} value={channel} fault={faults.channel} />
        <Input label="Name" name="name" value="said" fault={faults.name} />
        <div className="wide">
          <label htmlFor="publish-data">Data, as JSON</label>
          <textarea
            id="publish-data"
            name="data"
            className="mono"
            rows={3}
            spellCheck={false}
            defaultValue={'{ "text": "Hello" }'}
            aria-invalid={faults.data !== undefined}
            aria-describedby="publish-data-error"
          />
          <p id="publish-data-error" className="error" role="alert">
            {faults.data}
          </p>
        </div>
        <div>
          <label htmlFor="publish-priority">Priority</label>
          <select id="publish-priority" name="priority" defaultValue="normal" disabled={ephemeral}>
            <option>express</option>
            <option>high</option>
            <option>normal</option>
            <option>low</option>
          </select>
        </div>
        <label className="check">
          <input type="checkbox" checked={ephemeral} onChange={({ target }) => setEphemeral(target.checked)} />
          Ephemeral
        </label>
        <p className="wide error" role="alert">
          {faults.all}
        </p>
        <p role="status" className="small">
          {said}
        </p>
        <button type="submit" className="main" disabled={busy}>
          Publish
        </button>
      </form>
    </Panel>
  );
}

interface InputProps {
  readonly label: string;
  readonly name: Field;
  readonly value: string;
  readonly fault: string | undefined;
}

function Input({ label, name, value, fault }: InputProps) {
  const id = `publish-${name}`;
  return (
    <div>
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        name={name}
        defaultValue={value}
        autoComplete="off"
        spellCheck={false}
        aria-invalid={fault !== undefined}
        aria-describedby={`${id}-error`}
      />
      <p id={`${id}-error`} className="error" role="alert">
        {fault}
      </p>
    </div>
  );
}

function parsed(text: string): { readonly value: unknown } | { readonly fault: string } {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    return { fault: `This is no JSON: ${(error as SyntaxError).message}.` };
  }
}

/** What the server says, by the field that it says it of. */
function faultsOf({ message, details }: Refusal): Faults {
  const { fields } = (details ?? {}) as { fields?: readonly { readonly field: string; readonly problem?: string }[] };
  const faults: Record<string, string> = {};
  for (const { field, problem } of fields ?? []) {
    if (["channel", "name", "data"].includes(field)) faults[field] = `${problem ?? message}.`;
  }
  return Object.keys(faults).length > 0 ? faults : { all: `Not published: ${message}.` };
}

/** Once it is drawn. */
function focusFirst(form: HTMLFormElement): void {
  setTimeout(() => form.querySelector<HTMLElement>("[aria-invalid=true]")?.focus());
}
