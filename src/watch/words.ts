/**
 * Numbers for people, in few characters.
 *
 * @module
 */

/**
 * A time as on a clock: "1:05", "2:03:00".
 *
 * @param seconds rounded to whole ones
 */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number) => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A loss, "–" where there is none yet. */
export function lossText(loss: number | null | undefined): string {
  return loss === null || loss === undefined || Number.isNaN(loss) ? "–" : loss.toFixed(4);
}

/** A whole number with separators, "–" where it is not finite. */
export function wholeText(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString("en") : "–";
}

/** Bytes with the largest unit of which there is one: "12.3 MB". */
export function bytesText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const unit = bytes >= 1 ? Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3)) : 0;
  const value = bytes / 1000 ** unit;
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toPrecision(3)} ${units[unit]}`;
}

/** A share in percent. */
export function shareText(share: number): string {
  return Number.isFinite(share) ? `${Math.round(100 * share)} %` : "–";
}

/** A value of a configuration in one line. */
export function valueText(value: unknown): string {
  if (value === undefined) return "–";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Texts separated by commas, in lines of at most `width` characters, each after `indent`. */
export function wrapped(texts: readonly string[], width: number, indent: string): string[] {
  const lines: string[] = [];
  for (const [i, text] of texts.entries()) {
    const piece = i < texts.length - 1 ? `${text},` : text;
    const last = lines.at(-1);
    if (last !== undefined && `${last} ${piece}`.length <= width) {
      lines[lines.length - 1] = `${last} ${piece}`;
    } else lines.push(shortened(indent + piece, width));
  }
  return lines;
}

/** A text cut to so many characters. */
export function shortened(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, width - 1)}…` : text;
}
