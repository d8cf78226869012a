"""The matrix products of bench_step.py's model alone, with torch.mm and torch.bmm: ../products.ts in PyTorch.

usage: bench_products.py [--threads 2] [--batch 1] [--seq 1024] [--rounds 8]
"""
import argparse, json, time
import torch

a = argparse.ArgumentParser()
a.add_argument('--threads', type=int, default=2); a.add_argument('--batch', type=int, default=1)
a.add_argument('--seq', type=int, default=1024); a.add_argument('--rounds', type=int, default=8)
a = a.parse_args()
torch.set_num_threads(a.threads)
D, E, S, C, V, DEPTH = 512, 1024, 128, 256, 256, 8
rows = a.batch * a.seq
g = rows // C
others = g - a.batch
forward = [((1, rows, D, E), 2 * DEPTH), ((1, rows, D, S), DEPTH), ((1, rows, E, D), DEPTH),
           ((g, C // 2, S, C // 2), DEPTH), ((g, C // 2, S, C), DEPTH), ((g, C // 2, C // 2, E), DEPTH), ((g, C // 2, C, E), DEPTH),
           ((others, S, C, E), DEPTH), ((others, C, S, E), DEPTH), ((1, rows, D, V), 1)]
seconds = operations = 0
for (b, m, k, n), count in (product for product in forward if product[0][0] > 0):
    for m, k, n in ((m, k, n), (m, n, k), (k, m, n)):
        x, y = (torch.randn(m, k), torch.randn(k, n)) if b == 1 else (torch.randn(b, m, k), torch.randn(b, k, n))
        multiply, times = torch.mm if b == 1 else torch.bmm, []
        for _ in range(a.rounds + 1):
            begun = time.time(); multiply(x, y); times.append(time.time() - begun)
        seconds += count * min(times[1:]); operations += 2 * count * b * m * k * n
print(json.dumps({'batch': a.batch, 'seq': a.seq, 'threads': a.threads, 'products_ms': round(1000 * seconds, 1),
                  'gflop': round(operations / 1e9, 1), 'gflop_per_second': round(operations / 1e9 / seconds)}))
