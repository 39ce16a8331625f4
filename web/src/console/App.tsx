// The way in, or the console: nothing of it is there before the server has accepted who asks.

import { useCallback, useEffect, useState } from "react";
import { Admission, admitted, forget, isRefused, keep, kept, reasonOf } from "./admission.js";
import { Api } from "./api.js";
import { Desk } from "./Desk.js";
import type { Pass } from "./pass.js";
import { WayIn } from "./WayIn.js";

type Stage =
  | { readonly at: "asking"; readonly pass: Pass }
  | { readonly at: "outside"; readonly reason?: string | undefined }
  | { readonly at: "inside"; readonly admission: Admission; readonly api: Api };

export function App() {
  const [stage, setStage] = useState<Stage>(() => {
    const pass = kept();
    return pass ? { at: "asking", pass } : { at: "outside" };
  });
  const asked = stage.at === "asking" ? stage.pass : undefined;

  const leave = useCallback((reason?: string): void => {
    forget();
    setStage({ at: "outside", reason });
  }, []);

  useEffect(() => {
    if (!asked) return;
    let over = false;
    const come = (pass: Pass): void => {
      if (over) return;
      keep(pass);
      const admission = new Admission(pass, leave);
      const api = new Api({ pass: () => admission.pass, refused: (refusal) => admission.refused(refusal) });
      setStage({ at: "inside", admission, api });
    };
    const stay = (error: unknown): void => {
      const reason = reasonOf(error, asked);
      // What was not answered may be good: it is tried again when the page is loaded again.
      if (over) return;
      if (isRefused(error)) leave(reason);
      else setStage({ at: "outside", reason });
    };
    admitted(asked).then(come, stay);
    return () => void (over = true);
  }, [asked, leave]);

  if (stage.at === "inside") return <Desk api={stage.api} admission={stage.admission} leave={() => leave()} />;
  const reason = stage.at === "outside" ? stage.reason : undefined;
  return <WayIn asking={stage.at === "asking"} reason={reason} come={(pass) => setStage({ at: "asking", pass })} />;
}
