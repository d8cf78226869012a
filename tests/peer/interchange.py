"""What tests/trained/convert_test.ts asks of FLASH-pytorch.

usage: interchange.py IN.safetensors OUT.safetensors ARGUMENTS (JSON)

Loads a state dict strictly, computes logits of ARGUMENTS["ids"], trains some steps on them with Adam, and writes the logits
before and after it ("before", "after"), the loss before each step ("losses") and the new state dict (names with "trained."
in front).
"""
import json, sys
import torch
from safetensors.torch import load_file, save_file
from flash_pytorch import FLASHTransformer

source, out, arguments = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
ids = torch.tensor(arguments.pop('ids'))
torch.manual_seed(0)
model = FLASHTransformer(**arguments)
model.load_state_dict(load_file(source), strict=True)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

before, losses = model(ids).detach(), []
for _ in range(5):
    loss = torch.nn.functional.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.detach())
after = model(ids).detach()
trained = {f'trained.{name}': value.clone() for name, value in model.state_dict().items()}
save_file({'before': before.contiguous(), 'after': after.contiguous(), 'losses': torch.stack(losses), **trained}, out)
