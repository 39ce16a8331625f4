// How the connection is: a mark that is always there, and a notice when something is to be known.

import { useEffect, useState } from "react";
import type { ConnectionState, TidewireError } from "tidewire";
import { useConnection, useTidewire } from "tidewire/react";

const LOST_NOTICE_MS = 1_500; // most losses are mended before anybody has read about them
const STATES: Record<ConnectionState, string> = {
  idle: "Not connected",
  connecting: "Connecting …",
  connected: "Connected",
  reconnecting: "Reconnecting …",
  closed: "Disconnected",
};

export function ConnectionMark() {
  const { state } = useConnection();
  return (
    <p className="state" role="status" data-state={state}>
      <span className="dot" />
      <span className="state-text">{STATES[state]}</span>
    </p>
  );
}

export function Notice({ onAgain }: { readonly onAgain: () => void }) {
  const { state } = useConnection();
  const text = useNotice();
  return (
    <div className="notice" role="alert" hidden={!text}>
      <p>{text}</p>
      {state === "closed" && (
        <button type="button" onClick={onAgain}>
          Connect again
        </button>
      )}
    </div>
  );
}

function useNotice(): string {
  const client = useTidewire();
  const [text, setText] = useState("");
  useEffect(() => {
    let everConnected = client.state === "connected";
    let timer: ReturnType<typeof setTimeout> | undefined;
    const changed = (state: ConnectionState, error?: TidewireError): void => {
      clearTimeout(timer);
      if (state === "connected") everConnected = true;
      if (state === "closed") setText(`The connection has ended: ${error?.message ?? "it was closed"}.`);
      else if (state !== "reconnecting") setText("");
      else if (!everConnected) setText("The server does not answer. Is it running? Trying again …");
      else {
        const lost = "The connection is lost. What you write is sent as soon as it is back.";
        timer = setTimeout(() => setText(lost), LOST_NOTICE_MS);
      }
    };
    changed(client.state);
    const stop = client.onState(changed);
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [client]);
  return text;
}
