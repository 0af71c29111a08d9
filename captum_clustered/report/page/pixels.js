"use strict";

// From packed numbers to pixels.

/** The bytes of a text in base64. */
function decoded(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** Where each of n pixels lies among the values of one dimension: both neighbors, and how far. */
function places(nValues, n) {
  const found = { first: new Int32Array(n), second: new Int32Array(n), share: new Float32Array(n) };
  for (let i = 0; i < n; i++) {
    // As torch's interpolate with align_corners=False.
    const place = Math.max(0, ((i + 0.5) * nValues) / n - 0.5);
    found.first[i] = Math.min(Math.floor(place), nValues - 1);
    found.second[i] = Math.min(found.first[i] + 1, nValues - 1);
    found.share[i] = place - found.first[i];
  }
  return found;
}

/** Values of rows and columns, bilinearly brought to another size. */
function resized(values, height, width, newHeight, newWidth) {
  const y = places(height, newHeight);
  const x = places(width, newWidth);
  const wide = new Float32Array(height * newWidth);
  for (let row = 0; row < height; row++) {
    for (let i = 0; i < newWidth; i++) {
      const left = values[row * width + x.first[i]];
      const right = values[row * width + x.second[i]];
      wide[row * newWidth + i] = left + (right - left) * x.share[i];
    }
  }
  const result = new Float32Array(newHeight * newWidth);
  for (let j = 0; j < newHeight; j++) {
    const upper = y.first[j] * newWidth;
    const lower = y.second[j] * newWidth;
    for (let i = 0; i < newWidth; i++) {
      result[j * newWidth + i] = wide[upper + i] + (wide[lower + i] - wide[upper + i]) * y.share[j];
    }
  }
  return result;
}

/** Paints levels from -127 to 127 in the palette's colors, each of them 32 bits. */
function paint(canvas, levels, palette) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < levels.length; i++) pixels[i] = palette[128 + Math.round(levels[i])];
  context.putImageData(image, 0, 0);
}

/** Draws a map over the whole of a canvas. */
function drawMap(canvas, map, palette) {
  const values = new Int8Array(decoded(map.values).buffer);
  const size = [canvas.height, canvas.width];
  paint(canvas, resized(values, map.height, map.width, ...size), palette);
}

/** The edges of a mask's pixels, as a path of SVG. */
function outline(runs, height, width) {
  const inside = new Uint8Array(height * width);
  let end = 0;
  runs.forEach((length, i) => inside.fill(i % 2, end, (end += length)));
  const at = (x, y) => x >= 0 && y >= 0 && x < width && y < height && inside[y * width + x] === 1;
  const parts = [];
  for (let y = 0; y <= height; y++) {
    for (let x = 0, start = -1; x <= width; x++) {
      const edge = x < width && at(x, y) !== at(x, y - 1);
      if (edge && start < 0) start = x;
      if (!edge && start >= 0) {
        parts.push(`M${start} ${y}H${x}`);
        start = -1;
      }
    }
  }
  for (let x = 0; x <= width; x++) {
    for (let y = 0, start = -1; y <= height; y++) {
      const edge = y < height && at(x, y) !== at(x - 1, y);
      if (edge && start < 0) start = y;
      if (!edge && start >= 0) {
        parts.push(`M${x} ${start}V${y}`);
        start = -1;
      }
    }
  }
  return parts.join("");
}
