// Horizontal bars as SVG, the longest at the full width.

const WIDTH = 760;
const LABEL = 330;
const BAR = 18;
const GAP = 8;
const TOP = 40;

const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/**
 * @param title - stands above
 * @param rows - { name, value, ours }
 * @returns the text of an SVG file
 */
export function bars(title, rows) {
  const longest = Math.max(...rows.map(({ value }) => value));
  const height = TOP + rows.length * (BAR + GAP) + GAP;
  const lines = rows.flatMap(({ name, value, ours }, i) => {
    const y = TOP + i * (BAR + GAP);
    const width = Math.max(1, ((WIDTH - LABEL - 60) * value) / longest);
    return [
      `<text class="label" x="${LABEL - 8}" y="${y + 13}" text-anchor="end">${escape(name)}</text>`,
      `<rect class="${ours ? 'ours' : 'theirs'}" x="${LABEL}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2"/>`,
      `<text class="label" x="${(LABEL + width + 6).toFixed(1)}" y="${y + 13}">${value.toFixed(value < 10 ? 1 : 0)}</text>`,
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escape(title)}">`,
    '<style>',
    'svg { background: #fff; font: 12px system-ui, sans-serif; }',
    '.label, .title { fill: #1f2328; } .title { font-size: 14px; font-weight: 600; }',
    '.ours { fill: #0a7f5a; } .theirs { fill: #b9c0c8; }',
    '</style>',
    `<text class="title" x="12" y="22">${escape(title)}</text>`,
    ...lines,
    '</svg>',
    '',
  ].join('\n');
}
