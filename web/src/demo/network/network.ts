// The network as this window has it.

export class Network {
  readonly fetch: typeof fetch = (...request) => fetch(...request);
  readonly WebSocket: typeof WebSocket = WebSocket;
}
