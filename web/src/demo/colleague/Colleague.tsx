// A second person, simulated.

export function Colleague(_: { room: string }) {
  return <button type="button">Invite a colleague</button>;
}
