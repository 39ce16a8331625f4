// The cards of a room.

export function Board({ room }: { room: string }) {
  return <p>The board of {room}</p>;
}
