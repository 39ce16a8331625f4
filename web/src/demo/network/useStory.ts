// Has the story hear of everything: the connection, the network, what waits, and the events of all rooms.

import { useEffect, useState, useSyncExternalStore } from "react";
import type { Tidewire } from "tidewire";
import { useTidewire } from "tidewire/react";
import { channelOf, type RoomView } from "../room.js";
import { Latency, type LatencyState } from "./latency.js";
import type { Network } from "./network.js";
import { Story, type StoryState } from "./story.js";
import { waiting } from "./waiting.js";

export function useStory(network: Network, rooms: readonly RoomView[]): StoryState & LatencyState {
  const client = useTidewire();
  const [latency] = useState(() => new Latency(client));
  const [story] = useState(() => new Story(network.getSnapshot(), waiting.getSnapshot(), Date.now));
  useEffect(() => latency.start(), [latency]);
  useEffect(() => ending(hearing(story, client, network)), [story, client, network]);
  const names = rooms.map(({ name }) => name).join(" "); // they have no spaces; the array is a new one each time
  useEffect(
    () => ending(names.split(" ").flatMap((name) => recovering(story, client, latency, name))),
    [story, client, latency, names],
  );
  return {
    ...useSyncExternalStore(story.subscribe, story.getSnapshot),
    ...useSyncExternalStore(latency.subscribe, latency.getSnapshot),
  };
}

type Stops = readonly (() => void)[];

function hearing(story: Story, client: Tidewire, network: Network): Stops {
  story.connection(client.state, client.transport);
  return [
    client.onState((state) => story.connection(state, client.transport)),
    network.subscribe(() => story.network(network.getSnapshot())),
    waiting.subscribe(() => story.waiting(waiting.getSnapshot())),
  ];
}

function recovering(story: Story, client: Tidewire, latency: Latency, room: string): Stops {
  const channel = client.channel(channelOf(room));
  return [
    channel.on("*", ({ ephemeral, published_at_ms, sender }) => {
      const others = !ephemeral && sender.user_id !== client.userId;
      if (others) story.event(published_at_ms - latency.aheadMs);
    }),
    channel.onReset(() => story.reset()),
  ];
}

function ending(stops: Stops): () => void {
  return () => stops.forEach((stop) => stop());
}
