// SPDX-License-Identifier: Apache-2.0
// The loop over a tile's taps, as assembler macros: 28 sums, three weight vectors and one activation fill the
// register file exactly, and a compiler spills sums in every turn. Sum p*V+r stays in zmm(p*V+r), the
// activation of the moment in zmm31, weights below it; where one vector of weights finds no register it is a
// memory operand. The activation dword of pixel p lies at x plus an odd multiple of the pixel's stride,
// scaled by 1, 2, 4 or 8. `kvant_tile 16*M+V` makes M pixels by V vectors; rdi points to LoopArgs. Included
// by tiles_avx512vnni.cc only.
#pragma once

asm(R"(
.intel_syntax noprefix
.altmacro

.macro kvant_load register, at
  vmovdqu64 zmm\register, zmmword ptr [rax+\at]
.endm
.macro kvant_dot sum, weight
  vpdpbusd zmm\sum, zmm31, zmm\weight
.endm
.macro kvant_dot_memory sum, at
  vpdpbusd zmm\sum, zmm31, zmmword ptr [rax+\at]
.endm
.macro kvant_copy to, from
  vmovdqa64 zmm\to, zmm\from
.endm
.macro kvant_scale sum
  vcvtdq2ps zmm\sum, zmm\sum
  vfmadd132ps zmm\sum, zmm31, zmm30
.endm
.macro kvant_round sum
  vminps zmm\sum, zmm\sum, zmm31
  vcvtps2dq zmm\sum, zmm\sum
.endm
.macro kvant_multiple index, scale, at
  .if \index == 0
    vpbroadcastd zmm31, dword ptr [rdx+rcx*\scale+\at]
  .elseif \index == 1
    vpbroadcastd zmm31, dword ptr [rdx+rsi*\scale+\at]
  .elseif \index == 2
    vpbroadcastd zmm31, dword ptr [rdx+r8*\scale+\at]
  .elseif \index == 3
    vpbroadcastd zmm31, dword ptr [rdx+r9*\scale+\at]
  .elseif \index == 4
    vpbroadcastd zmm31, dword ptr [rdx+r10*\scale+\at]
  .elseif \index == 5
    vpbroadcastd zmm31, dword ptr [rdx+r11*\scale+\at]
  .else
    vpbroadcastd zmm31, dword ptr [rdx+r12*\scale+\at]
  .endif
.endm
.macro kvant_broadcast pixel, at
  .if \pixel == 0
    vpbroadcastd zmm31, dword ptr [rdx+\at]
  .elseif \pixel-\pixel/2*2 == 1
    kvant_multiple %((\pixel-1)/2), 1, \at
  .elseif \pixel-\pixel/4*4 == 2
    kvant_multiple %((\pixel-2)/4), 2, \at
  .elseif \pixel-\pixel/8*8 == 4
    kvant_multiple %((\pixel-4)/8), 4, \at
  .else
    kvant_multiple 0, 8, \at
  .endif
.endm

.macro kvant_step pixels, vectors, turn
  kvant_r = 0
  .rept kvant_held
    kvant_load %(31-kvant_held+kvant_r), %((\turn*\vectors+kvant_r)*64)
    kvant_r = kvant_r + 1
  .endr
  prefetcht1 byte ptr [r13]
  add r13, r14
  kvant_p = 0
  .rept \pixels
    kvant_broadcast %(kvant_p), %(\turn*4)
    kvant_r = 0
    .rept kvant_held
      kvant_dot %(kvant_p*\vectors+kvant_r), %(31-kvant_held+kvant_r)
      kvant_r = kvant_r + 1
    .endr
    .if kvant_held < \vectors
      kvant_dot_memory %(kvant_p*\vectors+kvant_held), %((\turn*\vectors+kvant_held)*64)
    .endif
    kvant_p = kvant_p + 1
  .endr
.endm

.macro kvant_tile_of pixels, vectors
  kvant_held = \vectors
  .if \pixels*\vectors+\vectors > 31
    kvant_held = \vectors-1
  .endif
  mov rcx, qword ptr [rdi+8]
  lea rsi, [rcx+rcx*2]
  lea r8, [rcx+rcx*4]
  lea r9, [rsi+rcx*4]
  lea r10, [rcx+rcx*8]
  lea r11, [rsi+rcx*8]
  lea r12, [r8+rcx*8]
  mov rax, qword ptr [rdi+80]
  kvant_r = 0
  .rept \vectors
    kvant_load %(kvant_r), %(kvant_r*64)
    kvant_p = 1
    .rept \pixels-1
      kvant_copy %(kvant_p*\vectors+kvant_r), %(kvant_r)
      kvant_p = kvant_p + 1
    .endr
    kvant_r = kvant_r + 1
  .endr
  mov rax, qword ptr [rdi+56]
  mov r13, qword ptr [rdi+64]
  mov r14, qword ptr [rdi+72]
1:
  mov r15, qword ptr [rdi]
  mov rbx, qword ptr [rdi+112]
  mov qword ptr [rdi+24], rbx
2:
  mov rdx, r15
  mov rbx, qword ptr [rdi+48]
  sub rbx, 4
  jl 4f
  .p2align 5
3:
  kvant_step \pixels, \vectors, 0
  kvant_step \pixels, \vectors, 1
  kvant_step \pixels, \vectors, 2
  kvant_step \pixels, \vectors, 3
  add rax, 256*\vectors
  add rdx, 16
  sub rbx, 4
  jge 3b
4:
  add rbx, 4
  jz 6f
5:
  kvant_step \pixels, \vectors, 0
  add rax, 64*\vectors
  add rdx, 4
  dec rbx
  jnz 5b
6:
  add r15, qword ptr [rdi+40]
  dec qword ptr [rdi+24]
  jnz 2b
  mov r15, qword ptr [rdi]
  add r15, qword ptr [rdi+32]
  mov qword ptr [rdi], r15
  dec qword ptr [rdi+16]
  jnz 1b

  mov rdx, qword ptr [rdi+88]
  mov rcx, qword ptr [rdi+96]
  kvant_r = 0
  .rept \vectors
    vmovups zmm30, zmmword ptr [rdx+64*kvant_r]
    vmovups zmm31, zmmword ptr [rcx+64*kvant_r]
    kvant_p = 0
    .rept \pixels
      kvant_scale %(kvant_p*\vectors+kvant_r)
      kvant_p = kvant_p + 1
    .endr
    kvant_r = kvant_r + 1
  .endr
  mov rdx, qword ptr [rdi+104]
  test rdx, rdx
  jz 7f
  vbroadcastss zmm31, dword ptr [rdx]
  kvant_p = 0
  .rept \pixels*\vectors
    kvant_round %(kvant_p)
    kvant_p = kvant_p + 1
  .endr
7:
.endm
.macro kvant_tile size
  kvant_tile_of %(\size/16), %(\size-\size/16*16)
.endm

.noaltmacro
.att_syntax prefix
)");
