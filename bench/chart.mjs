// The README's picture: test accuracy against the bytes of what is shipped, as SVG.

const WIDTH = 720;
const HEIGHT = 400;
const LEFT = 64;
const RIGHT = 24;
const TOP = 40;
const BOTTOM = 56;

/**
 * Draws points of { name, bytes, accuracy, ours }.
 * @returns the text of an SVG file
 */
export function accuracyAgainstBytes(points) {
  const [from, to] = [1_000, 400_000];
  const lowest = Math.floor(Math.min(...points.map(({ accuracy }) => accuracy)) * 100 - 0.5);
  const x = (bytes) => LEFT + (Math.log(bytes / from) / Math.log(to / from)) * (WIDTH - LEFT - RIGHT);
  const y = (accuracy) =>
    HEIGHT - BOTTOM - ((accuracy * 100 - lowest) / (99 - lowest)) * (HEIGHT - TOP - BOTTOM);
  const grid = [];
  for (const bytes of [1_000, 3_000, 10_000, 30_000, 100_000, 300_000]) {
    grid.push(
      `<line class="grid" x1="${x(bytes)}" x2="${x(bytes)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>`,
      `<text class="axis" x="${x(bytes)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${bytes / 1000} KB</text>`,
    );
  }
  for (let level = lowest; level <= 99; level += lowest < 92 ? 2 : 1) {
    grid.push(
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(level / 100)}" y2="${y(level / 100)}"/>`,
      `<text class="axis" x="${LEFT - 8}" y="${y(level / 100) + 4}" text-anchor="end">${level}%</text>`,
    );
  }
  const marks = points.map(({ name, bytes, accuracy, ours }) => {
    const place = `cx="${x(bytes).toFixed(1)}" cy="${y(accuracy).toFixed(1)}"`;
    const text = `x="${(x(bytes) + 10).toFixed(1)}" y="${(y(accuracy) + 4).toFixed(1)}"`;
    return `<circle class="${ours ? 'ours' : 'theirs'}" ${place} r="6"/><text class="label" ${text}>${name}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="MNIST test accuracy against bytes">`,
    '<style>',
    'svg { background: #fff; font: 13px system-ui, sans-serif; }',
    '.grid { stroke: #e3e6ea; } .axis { fill: #57606a; } .label, .title { fill: #1f2328; } .title { font-weight: 600; }',
    '.ours { fill: #0a7f5a; } .theirs { fill: #b35900; }',
    '</style>',
    `<text class="title" x="${LEFT}" y="22">MNIST test accuracy, trained without backprop, against bytes shipped</text>`,
    ...grid,
    ...marks,
    '</svg>',
    '',
  ].join('\n');
}
