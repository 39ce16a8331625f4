// The way in: a token or an API key is pasted; on the local stage one is signed for whoever asks.

import { useEffect, useState, type SubmitEvent } from "react";
import { devPass, reasonOf, signsForAnybody } from "./admission.js";
import { isSendable, passOf, type Pass } from "./pass.js";

interface WayInProps {
  /** The server is being asked. */
  readonly asking: boolean;
  /** Why one is outside. */
  readonly reason: string | undefined;
  readonly come: (pass: Pass) => void;
}

export function WayIn({ asking, reason, come }: WayInProps) {
  const [error, setError] = useState<string>();
  const local = useLocal();
  const said = asking ? undefined : (error ?? reason);

  const submit = (event: SubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const pass = passOf(String(new FormData(event.currentTarget).get("secret")));
    if (pass.secret === "") return setError("Paste a token or an API key first.");
    if (!isSendable(pass.secret)) return setError("This is neither: tokens and keys have no spaces or accents.");
    setError(undefined);
    come(pass);
  };
  const comeAsAdmin = (): void => {
    setError(undefined);
    devPass().then(come, (failure: unknown) => setError(reasonOf(failure, { kind: "dev", secret: "" })));
  };

  return (
    <main className="way-in">
      <form className="card" onSubmit={submit} noValidate aria-busy={asking}>
        <img src="/icon.svg" alt="" width="48" height="48" />
        <h1>Tidewire console</h1>
        <p className="quiet">What is happening now. For whoever has “admin” on “*”.</p>
        {local && (
          <>
            <button type="button" className="main" onClick={comeAsAdmin} disabled={asking}>
              Come in as admin
            </button>
            <p className="or">This is the local stage. Or:</p>
          </>
        )}
        <label htmlFor="secret">Token or API key</label>
        <input
          id="secret"
          name="secret"
          type="password"
          autoComplete="off"
          spellCheck={false}
          aria-invalid={said !== undefined}
          aria-describedby="secret-hint secret-error"
        />
        <p id="secret-hint" className="quiet small">
          Kept in this tab until it is closed.
        </p>
        <p id="secret-error" className="error" role="alert">
          {said}
        </p>
        <button type="submit" className={local ? "" : "main"} disabled={asking}>
          {asking ? "Asking the server …" : "Come in"}
        </button>
      </form>
    </main>
  );
}

/** Whether this is the local stage; not as long as that is unknown. */
function useLocal(): boolean {
  const [local, setLocal] = useState(false);
  useEffect(() => {
    const asking = new AbortController();
    // Where it can't be asked there is no button, and coming in tells why.
    signsForAnybody(asking.signal).then(setLocal, () => undefined);
    return () => asking.abort();
  }, []);
  return local;
}
