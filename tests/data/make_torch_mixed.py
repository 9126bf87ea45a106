"""How torch_mixed.pt was made, with torch 2.13. Torch is not needed to run the tests."""

import sys
from collections import OrderedDict

import torch

base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 7
content = OrderedDict(
    float32=base,
    transposed=base.T,
    window=base[1:3, 2:5],
    tied=base,
    expanded=torch.tensor([2.5]).expand(3, 4),
    parameter=torch.nn.Parameter(base + 1),
    buffer_with_grad=torch.ones(2, requires_grad=True),
    bfloat16=(base - 1).bfloat16(),
    float16=(base - 1).half(),
    float64=base.double() / 3,
    int64=torch.tensor([-(2**62), 7]),
    int32=torch.tensor([-5, 2**30], dtype=torch.int32),
    int16=torch.tensor([-300], dtype=torch.int16),
    int8=torch.tensor([-128, 127], dtype=torch.int8),
    uint8=torch.tensor([0, 255], dtype=torch.uint8),
    bool=torch.tensor([[True], [False]]),
    scalar=torch.tensor(3.25),
    empty=torch.zeros(0, 5),
    plain={
        "none": None,
        "yes": True,
        "no": False,
        "ints": [0, 255, 256, 65536, -1, 2**31, -(2**40)],
        "float": -0.1,
        "text": "ünï",
        "pair": (1, ("a", [])),
        5: {},
    },
)
torch.save(content, sys.argv[1])
