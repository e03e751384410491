export * from "./types";
export { Fold, isTerminal } from "./fold";
export { Follower } from "./follower";
export { LegatoError, call, insist, newId } from "./requests";
export { Stream, watchTheWorld } from "./stream";
