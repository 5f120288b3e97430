// Numbers and times as people read them.

/** Times are microseconds since the epoch. @param {number} us */
export const date = (us) => new Date(us / 1000);

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const isUtc = ["UTC", "Etc/UTC", "GMT"].includes(zone);
const two = (/** @type {number} */ number) => String(number).padStart(2, "0");

/** The viewer's zone, for heads of columns. */
export const zoneName = isUtc ? "UTC" : zone;

/** `14:02:11`, in the viewer's zone. @param {number} us */
export const clock = (us) => {
  const at = date(us);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
};
/** @param {number} us */
export const minute = (us) => clock(us).slice(0, 5);

/** @param {number} us */
export const utc = (us) => `${date(us).toISOString().slice(0, 19).replace("T", " ")} UTC`;

/** Both: in the viewer's zone, and UTC. @param {number} us */
export function both(us) {
  const at = date(us);
  if (isUtc) return utc(us);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(us)} (${utc(us).slice(11, 19)} UTC)`;
}

/** @param {number} us */
export const iso = (us) => new Date(us / 1000).toISOString();

/** @param {number | null | undefined} value */
export const count = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en-US"));

/** @param {number | null | undefined} value @param {number} [digits] */
export const fixed = (value, digits = 4) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−"));

/** @param {number | null | undefined} value */
export const ms = (value) => (value === null || value === undefined ? "–" : value < 100 ? value.toFixed(1) : value.toFixed(0));

/** A share: enough digits that 99.98 % is not 100 %. @param {number | null | undefined} share @param {number} [digits] */
export function percent(share, digits = 2) {
  if (share === null || share === undefined || Number.isNaN(share)) return "–";
  const text = (share * 100).toFixed(digits);
  return `${text.includes(".") ? text.replace(/\.?0+$/, "") : text} %`;
}

/** `3 min`, for how long ago something was. @param {number} seconds */
export function ago(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

export const KINDS = /** @type {const} */ (["champion", "stand_in", "fallback", "none"]);
/** @type {Record<string, string>} */
export const KIND_NAMES = { champion: "champion", stand_in: "stand-in", fallback: "fallback", none: "nobody" };

/** What a reason means. @type {Record<string, string>} */
export const REASONS = {
  preferred: "the first choice had a score",
  opened: "the choice's time had come",
  survivor: "all before it had failed or were presumed silent",
  exhausted: "every choice had failed",
  deadline: "the deadline was reached",
  unavailable: "a dependency was not available",
};
