/** A Python that can import FLASH-pytorch, for tests that ask it. */

let found: Promise<string | undefined> | undefined;

/**
 * The Python of FLASHMOB_PEER_PYTHON, else python3 where it can import torch, flash_pytorch and safetensors. Undefined where
 * there is none: the test says so and passes; nothing else depends on it.
 */
export function peerPython(): Promise<string | undefined> {
  return found ??= find();
}

async function find(): Promise<string | undefined> {
  const named = Deno.env.get("FLASHMOB_PEER_PYTHON");
  const python = named ?? "python3";
  try {
    const args = ["-c", "import torch, flash_pytorch, safetensors"];
    const { success, stderr } = await new Deno.Command(python, { args }).output();
    if (success) return python;
    if (named) throw new Error(new TextDecoder().decode(stderr));
  } catch (error) {
    if (named) throw new Error(`FLASHMOB_PEER_PYTHON=${named}: ${(error as Error).message}`);
  }
  console.log(
    "skipped: no Python with torch, flash_pytorch and safetensors; name one in FLASHMOB_PEER_PYTHON",
  );
}
