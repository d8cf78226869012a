/** A Python that can import FLASH-pytorch, for tests that ask it. */

const WANTED = "import torch, flash_pytorch, safetensors";

/**
 * The Python of FLASHMOB_PEER_PYTHON, which has to have all that is wanted; else python3 where it has. Without one: the reason,
 * in words.
 */
export async function peerPython(): Promise<{ python: string } | { missing: string }> {
  const named = Deno.env.get("FLASHMOB_PEER_PYTHON");
  const python = named ?? "python3";
  let words: string;
  try {
    const { success, stderr } = await new Deno.Command(python, { args: ["-c", WANTED] }).output();
    if (success) return { python };
    words = new TextDecoder().decode(stderr).trim().split("\n").at(-1)!;
  } catch (error) {
    words = (error as Error).message;
  }
  if (named) throw new Error(`FLASHMOB_PEER_PYTHON=${named}: ${words}`);
  return { missing: `${python}: ${words}; name one in FLASHMOB_PEER_PYTHON` };
}
