// What failed for good, and the way back into its queue.

import { useRef, useState } from "react";
import { Refusal, type Api } from "../api.js";
import { count } from "../format.js";
import type { WaitingLetters } from "../generated/answers.js";
import { Panel } from "../Panel.js";

interface DeadLettersProps {
  readonly api: Api;
  readonly letters: readonly WaitingLetters[] | undefined;
  /** Something was put back. */
  readonly changed: () => void;
}

export function DeadLettersPanel({ api, letters, changed }: DeadLettersProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [chosen, setChosen] = useState<WaitingLetters>();
  const [said, setSaid] = useState("");
  const [busy, setBusy] = useState(false);

  const ask = (queue: WaitingLetters): void => {
    setChosen(queue);
    dialog.current?.showModal();
  };
  const redrive = async ({ queue }: WaitingLetters): Promise<void> => {
    setBusy(true);
    setSaid(`Putting back into ${queue} …`);
    try {
      const done = await api.redrive(queue, (sofar) => setSaid(`${count(sofar)} put back into ${queue} so far …`));
      const left = done.unreadable > 0 ? ` ${count(done.unreadable)} can’t be read and were left.` : "";
      setSaid(`${count(done.redriven)} put back into ${queue}.${left}`);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      setSaid(`It failed: ${error.message}.`);
    } finally {
      setBusy(false);
      changed();
    }
  };

  return (
    <Panel title="Dead letters" busy={!letters}>
      <table>
        <thead>
          <tr>
            <th scope="col">Queue</th>
            <th scope="col" className="number">
              Waiting
            </th>
            <td />
          </tr>
        </thead>
        <tbody>
          {letters?.map((one) => (
            <tr key={one.queue}>
              <th scope="row">{one.queue}</th>
              <td className={one.waiting > 0 ? "number bad" : "number"}>{count(one.waiting)}</td>
              <td className="number">
                <button type="button" disabled={busy || one.waiting === 0} onClick={() => ask(one)}>
                  Put back<span className="hidden"> the dead letters of {one.queue}</span> …
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <p role="status" className="small">
        {said}
      </p>
      <p className="quiet small">About as many: SQS counts them within a minute.</p>
      <dialog ref={dialog} className="card" aria-labelledby="redrive-title">
        <form method="dialog" onSubmit={() => chosen && void redrive(chosen)}>
          <h3 id="redrive-title">
            Put {count(chosen?.waiting ?? 0)} back into {chosen?.queue}?
          </h3>
          <p>They are tried again, in the order in which they come out. What fails again comes back here.</p>
          <div className="buttons">
            <button type="button" onClick={() => dialog.current?.close()}>
              Cancel
            </button>
            <button type="submit" className="main">
              Put back
            </button>
          </div>
        </form>
      </dialog>
    </Panel>
  );
}
