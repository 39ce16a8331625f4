// Centrifugo's client, as tests use it: it notes what happens, and waits until as much has happened as they expect.
// In a page or in Node; `Centrifuge` is there.

globalThis.open_ = (url, token, channel, { emulationEndpoint, ...options } = {}) => {
  globalThis.seen = [];
  globalThis.centrifuge = new Centrifuge(url, { token, emulationEndpoint, minReconnectDelay: 50 });
  const note = (kind) => (context) => seen.push([kind, context]);
  globalThis.subscription = centrifuge.newSubscription(channel, options);
  for (const kind of ["publication", "join", "leave", "subscribed", "subscribing", "unsubscribed", "error"])
    subscription.on(kind, note(kind));
  for (const kind of ["connected", "connecting", "disconnected", "error", "subscribed", "publication", "unsubscribed"])
    centrifuge.on(kind, note("client " + kind));
  subscription.subscribe();
  centrifuge.connect();
  return subscription.ready(30_000);
};
globalThis.of = (kind) => seen.filter(([one]) => one === kind).map(([, context]) => context);
globalThis.until = async (kind, count) => {
  while (of(kind).length < count) await new Promise((resolve) => setTimeout(resolve, 20));
  return of(kind);
};
globalThis.published = async (data) => {
  while (!of("publication").some((publication) => publication.data === data))
    await new Promise((resolve) => setTimeout(resolve, 20));
  return of("publication");
};
