// A blurred preview from a ThumbHash (base 64): a few cosines a channel, in lightness, yellow to blue, and red to green.

const SIDE = 32;
const kept = new Map();

/** The preview as the address of an image; null when there is none. */
export function preview(hash) {
  if (!hash) return null;
  if (!kept.has(hash)) {
    if (kept.size > 2000) kept.clear();
    kept.set(hash, draw(hash));
  }
  return kept.get(hash);
}

function draw(text) {
  let data;
  try {
    data = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  } catch {
    return null;
  }
  if (data.length < 5) return null;
  const low = data[0] | (data[1] << 8) | (data[2] << 16);
  const high = data[3] | (data[4] << 8);
  const hasAlpha = Boolean(low >> 23);
  const isWide = Boolean(high >> 15);
  const long = hasAlpha ? 5 : 7;
  const columns = Math.max(3, isWide ? long : high & 7);
  const lines = Math.max(3, isWide ? high & 7 : long);

  // Coefficients follow the header, four bits each.
  let at = (hasAlpha ? 6 : 5) * 2;
  const next = (scale) => {
    const nibble = (data[at >> 1] >> ((at & 1) * 4)) & 15;
    at += 1;
    return (nibble / 7.5 - 1) * scale;
  };
  const channel = (nx, ny, mean, scale) => {
    const terms = [];
    for (let v = 0; v < ny; v += 1) for (let u = v ? 0 : 1; u * ny < nx * (ny - v); u += 1) terms.push([u, v, 2 * next(scale)]);
    return { mean, terms };
  };
  const lightness = channel(columns, lines, (low & 63) / 63, ((low >> 18) & 31) / 31);
  const yellow = channel(3, 3, ((low >> 6) & 63) / 31.5 - 1, (((high >> 3) & 63) / 63) * 1.25);
  const red = channel(3, 3, ((low >> 12) & 63) / 31.5 - 1, (((high >> 9) & 63) / 63) * 1.25);
  const opacity = hasAlpha ? channel(5, 5, (data[5] & 15) / 15, (data[5] >> 4) / 15) : null;

  const ratio = columns / lines;
  const width = Math.round(ratio > 1 ? SIDE : SIDE * ratio);
  const height = Math.round(ratio > 1 ? SIDE / ratio : SIDE);
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const value = (one) => one.terms.reduce((sum, [u, v, scale]) => sum + scale * Math.cos((Math.PI / width) * (x + 0.5) * u) * Math.cos((Math.PI / height) * (y + 0.5) * v), one.mean);
      const l = value(lightness);
      const p = value(yellow);
      const q = value(red);
      const b = l - (2 / 3) * p;
      const r = (3 * l - b + q) / 2;
      [r, r - q, b, opacity ? value(opacity) : 1].forEach((level, index) => {
        image.data[(y * width + x) * 4 + index] = Math.max(0, Math.min(1, level)) * 255;
      });
    }
  }
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}
