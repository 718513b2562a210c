/** Activations of i8 and u7 lie four to a word, rows filled up to 16 of them with zeros. */

export const BYTES = `
fn bytesOf(word: u32) -> vec4<i32> {
  return (vec4<i32>(bitcast<i32>(word)) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u);
}
fn wordOf(values: vec4<i32>) -> u32 {
  let bytes = (bitcast<vec4<u32>>(values) & vec4<u32>(255u)) << vec4<u32>(0u, 8u, 16u, 24u);
  return bytes.x | bytes.y | bytes.z | bytes.w;
}`;
