"""The text of a compiled program, with a loop of each kind, a branch and a product."""

PROGRAM = """HloModule jit_f, is_scheduled=true

FileNames
1 "/venv/lib/python3.11/site-packages/mctx/_src/search.py"
2 "/home/x/zebjax/search/tree.py"

FunctionNames
1 "body"
2 "search"

FileLocations
1 {file_name_id=1 function_name_id=1 line=70 end_line=70 column=3 end_column=9}
2 {file_name_id=2 function_name_id=2 line=254 end_line=254 column=3 end_column=9}

StackFrames
1 {file_location_id=2 parent_frame_id=1}
2 {file_location_id=1 parent_frame_id=2}

%fused_slice (p0: f32[1000,512], p1: s32[]) -> f32[1,512] {
  %p0 = f32[1000,512]{1,0} parameter(0)
  %p1 = s32[] parameter(1)
  %zero = s32[] constant(0)
  %row = f32[1,512]{1,0} dynamic-slice(%p0, %p1, %zero), dynamic_slice_sizes={1,512}
  ROOT %twice = f32[1,512]{1,0} add(%row, %row)
}

%fused_write (p0: f32[1000,512], p1: f32[1,512], p2: s32[]) -> f32[1000,512] {
  %p0 = f32[1000,512]{1,0} parameter(0)
  %p1 = f32[1,512]{1,0} parameter(1)
  %p2 = s32[] parameter(2)
  %zero = s32[] constant(0)
  ROOT %new = f32[1000,512]{1,0} dynamic-update-slice(%p0, %p1, %p2, %zero)
}

%body (arg: (s32[], f32[1000,512])) -> (s32[], f32[1000,512]) {
  %arg = (s32[], /*index=1*/f32[1000,512]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%arg), index=0
  %table = f32[1000,512]{1,0} get-tuple-element(%arg), index=1
  %read = f32[1,512]{1,0} fusion(%table, %i), kind=kLoop, calls=%fused_slice, \
metadata={op_name="jit(f)/while/body/dynamic_slice" stack_frame_id=2}
  %write = f32[1000,512]{1,0} fusion(%table, %read, %i), kind=kLoop, calls=%fused_write
  ROOT %out = (s32[], f32[1000,512]{1,0}) tuple(%i, %write)
}

%condition (arg: (s32[], f32[1000,512])) -> pred[] {
  %arg = (s32[], f32[1000,512]{1,0}) parameter(0)
  ROOT %yes = pred[] constant(true)
}

%little (arg: bf16[4096,256]) -> bf16[4096,256] {
  ROOT %arg = bf16[4096,256]{1,0} parameter(0)
}

%much (arg: bf16[4096,256]) -> bf16[4096,256] {
  %arg = bf16[4096,256]{1,0} parameter(0)
  ROOT %copy = bf16[4096,256]{1,0} copy(%arg)
}

ENTRY %main (x: bf16[4096,256], w: bf16[256,1024], n: s32[], t: f32[1000,512]) -> pred[] {
  %x = bf16[4096,256]{1,0} parameter(0)
  %w = bf16[256,1024]{1,0} parameter(1)
  %n = s32[] parameter(2)
  %t = f32[1000,512]{1,0} parameter(3)
  %gemm = (bf16[4096,1024]{1,0}, s8[4194304]{0}) custom-call(%x, %w), \
custom_call_target="__cublas$lt$matmul", backend_config={"gemm_backend_config":{\
"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"],"rhs_contracting_dimensions":["0"]}}}
  %start = (s32[], f32[1000,512]{1,0}) tuple(%n, %t)
  %known = (s32[], f32[1000,512]{1,0}) while(%start), condition=%condition, body=%body, \
metadata={op_name="jit(f)/while" stack_frame_id=2}, \
backend_config={"known_trip_count":{"n":"16"}}
  %unknown = (s32[], f32[1000,512]{1,0}) while(%known), condition=%condition, body=%body, \
metadata={op_name="jit(f)/while" stack_frame_id=2}
  %chosen = bf16[4096,256]{1,0} conditional(%n, %x, %x), branch_computations={%little, %much}
  ROOT %done = pred[] custom-call(%chosen), custom_call_target="finish"
}
"""
