// Does in a page what a scenario says (scenario.py), with the client as its users have it. Bundled with the client.

import { CommandError, Tidewire, TidewireError } from "../../clients/js/src/index.ts";

class Harness {
  #noticed = 0; // counts what may be seen
  #waiting = [];
  #outcomes = new Map();
  #channels = new Map();
  #asked; // of its tokens

  /** `user`: its id; `token`: what its tokens are to have; the rest are the client's options. */
  constructor({ user, token: asked, ...options }) {
    this.complaints = [];
    this.states = []; // each with its time
    this.tokens = 0;
    this.#asked = JSON.stringify({ user_id: user, ...asked });
    this.client = new Tidewire({
      ...options,
      getToken: (fresh) => this.#token(fresh),
      onError: (error) => this.complaints.push(describe(error)),
    });
    this.client.onState((state, error) => {
      this.end = error?.kind;
      this.states.push({ state, transport: this.client.transport, atMs: performance.now() });
      this.notice();
    });
    this.begunMs = performance.now();
    this.client.connect();
  }

  async #token(fresh) {
    const kept = sessionStorage.getItem("token");
    if (kept && !fresh) return kept;
    const headers = { "Content-Type": "application/json" };
    const response = await fetch("/v1/dev/token", { method: "POST", headers, body: this.#asked });
    const { token } = await response.json();
    sessionStorage.setItem("token", token);
    this.tokens++;
    this.notice();
    return token;
  }

  notice() {
    this.#noticed++;
    this.#waiting.splice(0).forEach((wake) => wake());
  }

  /** Resolves when more was noticed than that. */
  async news(noticed) {
    while (this.#noticed <= noticed) await new Promise((resolve) => this.#waiting.push(resolve));
  }

  start(action, args) {
    const id = this.#outcomes.size;
    const outcome = (async () => this[action](args))().then(
      (value) => ({ value: value ?? null }),
      (error) => ({ error: error instanceof TidewireError ? error.kind : describe(error) }),
    );
    this.#outcomes.set(id, outcome);
    return id;
  }

  outcome(id) {
    return this.#outcomes.get(id);
  }

  see(what, args) {
    return { noticed: this.#noticed, value: this[`see_${what}`](args) ?? null };
  }

  /** The channel, and what was seen of it. */
  #of(name) {
    let of = this.#channels.get(name);
    if (of) return of;
    const channel = this.client.channel(name);
    of = { channel, events: [], connections: new Set(), receipts: [], resets: 0, documents: new Map() };
    const seen = (change) => (value) => (change(value), this.notice());
    channel.on(
      "*",
      seen(({ data, sender }) => (of.events.push(data), of.connections.add(sender.connection_id))),
    );
    channel.onReceipt(seen(({ status }) => of.receipts.push(status)));
    channel.onReset(seen(() => of.resets++));
    channel.presence.onChange(() => this.notice());
    this.#channels.set(name, of);
    return of;
  }

  #document({ channel: name, key }) {
    const { channel, documents } = this.#of(name);
    if (!documents.has(key)) {
      const document = channel.document(key);
      document.onChange(() => this.notice());
      documents.set(key, document);
    }
    return documents.get(key);
  }

  close() {
    this.client.close();
  }

  connect() {
    this.client.connect();
  }

  async subscribe({ channel, ...options }) {
    return (await this.#of(channel).channel.subscribe(options)).map(({ data }) => data);
  }

  unsubscribe({ channel }) {
    return this.#of(channel).channel.unsubscribe();
  }

  async publish({ channel, data, name = "said", times, ...options }) {
    const all = times ? Array.from({ length: times }, (_, index) => index + 1) : [data];
    await Promise.all(all.map((each) => this.#of(channel).channel.publish(name, each, options)));
  }

  async send({ to, data, ...options }) {
    this.#of(`user:${to}`); // where its receipts come
    await this.client.send({ user_id: to }, "said", data, options);
  }

  async history({ channel, ...options }) {
    return (await this.#of(channel).channel.history(options)).publications.map(({ data }) => data);
  }

  command({ name, data, to }) {
    return this.client.command(name, data, to && { to: { user_id: to } });
  }

  answer({ name, data, error }) {
    this.client.onCommand(name, () => {
      if (error) throw new CommandError(error);
      return data;
    });
  }

  set({ value, offline = false, ...args }) {
    return this.#written(this.#document(args).set(value, { offline }));
  }

  patch({ patch, offline = false, ...args }) {
    return this.#written(this.#document(args).patch(patch, { offline }));
  }

  delete({ offline = false, ...args }) {
    return this.#written(this.#document(args).delete({ offline }));
  }

  async #written(result) {
    const { value } = await result;
    this.notice(); // one write less waits
    return value;
  }

  read(args) {
    return this.#document(args).ready();
  }

  settle({ value, ...args }) {
    this.#document(args).onConflict(() => value);
  }

  join({ channel }) {
    return this.#of(channel).channel.presence.join();
  }

  leave({ channel }) {
    return this.#of(channel).channel.presence.leave();
  }

  update({ channel, ...said }) {
    return this.#of(channel).channel.presence.update(said);
  }

  type({ channel, active }) {
    this.#of(channel).channel.presence.type(active);
  }

  mark_read({ channel, offset }) {
    this.#of(channel).channel.presence.markRead(offset);
  }

  async revoke({ user }) {
    const headers = { Authorization: `Bearer ${await this.#token(false)}` };
    const response = await fetch(`/v1/users/${user}/connections`, { method: "DELETE", headers });
    if (!response.ok) throw new Error(`it was answered ${response.status}`);
  }

  see_events({ channel }) {
    return this.#of(channel).events;
  }

  see_receipts({ channel }) {
    return this.#of(channel).receipts;
  }

  see_resets({ channel }) {
    return this.#of(channel).resets;
  }

  see_document(args) {
    return this.#document(args).value;
  }

  see_pending(args) {
    return this.#document(args).pending;
  }

  see_members({ channel }) {
    return this.#of(channel).channel.presence.members;
  }

  see_typing({ channel }) {
    return this.#of(channel).channel.presence.typing;
  }

  see_end() {
    return this.end;
  }

  see_tokens() {
    return this.tokens;
  }

  see_connections({ channel }) {
    return this.#of(channel).connections.size;
  }

  see_state() {
    return this.client.state;
  }
}

function describe(error) {
  return error instanceof TidewireError ? `${error.kind}: ${error.message}` : String(error?.stack ?? error);
}

globalThis.openHarness = (options) => {
  globalThis.harness = new Harness(options);
};
