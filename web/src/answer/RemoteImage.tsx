import { useWords } from "../i18n";

/** An address in an answer can carry away what was said: nothing is asked for by itself, and then in a tab of its own. */
export function RemoteImage({ src, alt, host }: { src: string; alt: string; host: string }) {
  const words = useWords();
  return (
    <a className="remote-image" href={src} title={src} target="_blank" rel="noopener noreferrer nofollow ugc">
      <span className="alt">{alt || words("image")}</span>
      <span className="from">{words("loadImage", { host })}</span>
    </a>
  );
}
