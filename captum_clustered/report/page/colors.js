// The colors of maps over grays, as palette.py of the figures has them: hue and saturation change
// with the map, luminance does not.

/** Linear light of a channel of sRGB, both from 0 to 1. */
function toLinear(value) {
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}

function fromLinear(light) {
  return light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055;
}

const LINEAR = Float64Array.from({ length: 256 }, (_, value) => toLinear(value / 255));
// From zero to the largest absolute value.
const LEVELS = 127;

/** The colors of all levels, from -127 to 127, over all grays, from 0 to 255. */
class Colors {
  constructor(tint) {
    this.tint = tint;
    this.rows = new Array(256);
  }

  /** Red, green, blue and full opacity in 32 bits. */
  at(gray, level) {
    const rounded = Math.round(gray);
    this.rows[rounded] ??= this.makeRow(LINEAR[rounded]);
    return this.rows[rounded][Math.round(level) + LEVELS];
  }

  makeRow(light) {
    const { directions, steps, bright } = this.tint;
    const saturated = directions.map((direction) => {
      const rooms = direction.map((part) => (part > 0 ? 1 - light : light) / Math.abs(part));
      const room = Math.min(...rooms);
      return direction.map((part) => room * part);
    });
    const brightness = Math.min(Math.max((light - bright[0]) / bright[1], 0), 1);
    return Uint32Array.from({ length: 2 * LEVELS + 1 }, (_, i) => {
      const size = Math.abs(i - LEVELS) / LEVELS;
      const side = i < LEVELS ? 0 : 1;
      const place = size * (steps[side].length - 1);
      const [first, second] = [Math.floor(place), Math.ceil(place)];
      let strength = steps[side][first];
      strength += (steps[side][second] - strength) * (place - first);
      if (side === 0) strength += brightness * (size - strength);
      const color = saturated[side].map((part) => {
        const value = fromLinear(Math.min(Math.max(light + strength * part, 0), 1));
        return Math.round(255 * value);
      });
      return (0xff000000 | (color[2] << 16) | (color[1] << 8) | color[0]) >>> 0;
    });
  }
}
