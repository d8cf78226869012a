/** A Python with the packages that tests compare with or ask. */

const FLASH_PYTORCH = "import torch, flash_pytorch, safetensors";

/**
 * The Python of FLASHMOB_PEER_PYTHON, which has to have all that is wanted; else python3 where it has. Without one: the reason,
 * in words.
 *
 * @param wanted what it imports
 */
export async function peerPython(
  wanted = FLASH_PYTORCH,
): Promise<{ python: string } | { missing: string }> {
  const named = Deno.env.get("FLASHMOB_PEER_PYTHON");
  const python = named ?? "python3";
  let words: string;
  try {
    const { success, stderr } = await new Deno.Command(python, { args: ["-c", wanted] }).output();
    if (success) return { python };
    words = new TextDecoder().decode(stderr).trim().split("\n").at(-1)!;
  } catch (error) {
    words = (error as Error).message;
  }
  if (named) throw new Error(`FLASHMOB_PEER_PYTHON=${named}: ${words}`);
  return { missing: `${python}: ${words}; name one in FLASHMOB_PEER_PYTHON` };
}
