// SPDX-License-Identifier: Apache-2.0
// The loop over a tile's taps, as assembler macros: 28 sums, three weight vectors and one activation fill the
// register file exactly, and a compiler spills sums in every turn. Sum p*V+r stays in zmm(p*V+r), the
// activation of the moment in zmm31, weights below it; where one vector of weights finds no register it is a
// memory operand. The activation dword of pixel p lies at x plus an odd multiple of the pixel's stride,
// scaled by 1, 2, 4 or 8. `kvant_tile 16*M+V` makes M pixels by V vectors; rdi points to TileArgs, whose
// offsets are checked in tiles_avx512vnni.cc. Where TileArgs has a Rounding, codes are stored; else the
// values are left as reals in the sums' registers. Included by tiles_avx512vnni.cc only.
#pragma once

asm(R"(
.section .rodata
.p2align 6
kvant_residual_order:
.irp vector, 0, 4, 8, 12
  .rept 4
    .byte \vector, -1, -1, -1, \vector+1, -1, -1, -1, \vector+2, -1, -1, -1, \vector+3, -1, -1, -1
  .endr
.endr
.text

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
.macro kvant_clamp sum
  vminps zmm\sum, zmm\sum, zmm31
.endm

# Adds the residual, whose code of the moment is in zmm31, to a value. zmm28 is zero, rdx points to Rounding.
.macro kvant_add_residual value
  vpsubd zmm31, zmm31, dword ptr [rdx+20]{1to16}
  vcvtdq2ps zmm31, zmm31
  vfmadd231ps zmm\value, zmm31, dword ptr [rdx+16]{1to16}
.endm
.macro kvant_residual_4 a, b, c, d
  vmovdqu8 zmm30{k1}{z}, zmmword ptr [rsi]
  vpxord zmm30, zmm30, dword ptr [rdx+24]{1to16}
  vpshufb zmm31, zmm30, zmmword ptr [rax]
  kvant_add_residual \a
  vpshufb zmm31, zmm30, zmmword ptr [rax+64]
  kvant_add_residual \b
  vpshufb zmm31, zmm30, zmmword ptr [rax+128]
  kvant_add_residual \c
  vpshufb zmm31, zmm30, zmmword ptr [rax+192]
  kvant_add_residual \d
.endm
.macro kvant_residual_2 a, b, c, d
  vmovdqu8 ymm30{k1}{z}, ymmword ptr [rsi]
  vpxord ymm30, ymm30, dword ptr [rdx+24]{1to8}
  vpmovzxbw zmm30, ymm30
  vpunpcklwd zmm31, zmm30, zmm28
  kvant_add_residual \a
  vpunpckhwd zmm31, zmm30, zmm28
  kvant_add_residual \b
.endm
.macro kvant_residual_1 a, b, c, d
  vmovdqu8 xmm30{k1}{z}, xmmword ptr [rsi]
  vpxord xmm30, xmm30, dword ptr [rdx+24]{1to4}
  vpmovzxbd zmm31, xmm30
  kvant_add_residual \a
.endm

# Values to codes, clamped below; saturation clamps above. zmm28 is the zero point, zmm29 the least code, zmm30 the flip.
.macro kvant_pack_4 a, b, c, d
  vcvtps2dq zmm\a, zmm\a
  vcvtps2dq zmm\b, zmm\b
  vcvtps2dq zmm\c, zmm\c
  vcvtps2dq zmm\d, zmm\d
  vpackssdw zmm\a, zmm\a, zmm\b
  vpackssdw zmm\c, zmm\c, zmm\d
  vpaddsw zmm\a, zmm\a, zmm28
  vpaddsw zmm\c, zmm\c, zmm28
  vpmaxsw zmm\a, zmm\a, zmm29
  vpmaxsw zmm\c, zmm\c, zmm29
  vpacksswb zmm\a, zmm\a, zmm\c
  vpxord zmm\a, zmm\a, zmm30
.endm
.macro kvant_pack_2 a, b, c, d
  vcvtps2dq zmm\a, zmm\a
  vcvtps2dq zmm\b, zmm\b
  vpackssdw zmm\a, zmm\a, zmm\b
  vpaddsw zmm\a, zmm\a, zmm28
  vpmaxsw zmm\a, zmm\a, zmm29
  vpmovswb ymm\a, zmm\a
  vpxord ymm\a, ymm\a, ymm30
.endm
.macro kvant_pack_1 a, b, c, d
  vcvtps2dq zmm\a, zmm\a
  vpmovsdw ymm\a, zmm\a
  vpaddsw ymm\a, ymm\a, ymm28
  vpmaxsw ymm\a, ymm\a, ymm29
  vpmovswb xmm\a, ymm\a
  vpxord xmm\a, xmm\a, xmm30
.endm
.macro kvant_store_4 a
  vmovdqu8 zmmword ptr [rsi], zmm\a
.endm
.macro kvant_store_2 a
  vmovdqu8 ymmword ptr [rsi], ymm\a
.endm
.macro kvant_store_1 a
  vmovdqu8 xmmword ptr [rsi], xmm\a
.endm
.macro kvant_store_some_4 a
  vmovdqu8 zmmword ptr [rsi]{k1}, zmm\a
.endm
.macro kvant_store_some_2 a
  vmovdqu8 ymmword ptr [rsi]{k1}, ymm\a
.endm
.macro kvant_store_some_1 a
  vmovdqu8 xmmword ptr [rsi]{k1}, xmm\a
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
  lea rsp, [rsp-256]
  mov r15, qword ptr [rdi]
  mov qword ptr [rsp], r15
  mov rbx, qword ptr [rdi+16]
  mov qword ptr [rsp+8], rbx
1:
  mov rbx, qword ptr [rdi+24]
  mov qword ptr [rsp+16], rbx
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
  dec qword ptr [rsp+16]
  jnz 2b
  mov r15, qword ptr [rsp]
  add r15, qword ptr [rdi+32]
  mov qword ptr [rsp], r15
  dec qword ptr [rsp+8]
  jnz 1b
  lea rsp, [rsp+256]
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
  mov rdx, qword ptr [rdi+152]
  test rdx, rdx
  jz 9f
  mov rcx, qword ptr [rdi+136]
  mov rax, -1
  bzhi rax, rax, rcx
  kmovq k1, rax
  mov rsi, qword ptr [rdi+104]
  test rsi, rsi
  jz 1f
  mov r8, qword ptr [rdi+112]
  vpxord zmm28, zmm28, zmm28
  lea rax, kvant_residual_order[rip]
  kvant_p = 0
  .rept \pixels
    kvant_residual_\vectors %(kvant_p*\vectors), %(kvant_p*\vectors+1), %(kvant_p*\vectors+2), %(kvant_p*\vectors+3)
    add rsi, r8
    kvant_p = kvant_p + 1
  .endr
1:
  cmp dword ptr [rdx+12], 0
  je 2f
  vbroadcastss zmm31, dword ptr [rdx]
  kvant_p = 0
  .rept \pixels*\vectors
    kvant_clamp %(kvant_p)
    kvant_p = kvant_p + 1
  .endr
2:
  vpbroadcastw zmm28, word ptr [rdx+4]
  vpbroadcastw zmm29, word ptr [rdx+6]
  vpbroadcastd zmm30, dword ptr [rdx+8]
  mov rsi, qword ptr [rdi+120]
  mov r8, qword ptr [rdi+128]
  cmp rcx, 16*\vectors
  jl 3f
  kvant_p = 0
  .rept \pixels
    kvant_pack_\vectors %(kvant_p*\vectors), %(kvant_p*\vectors+1), %(kvant_p*\vectors+2), %(kvant_p*\vectors+3)
    kvant_store_\vectors %(kvant_p*\vectors)
    add rsi, r8
    kvant_p = kvant_p + 1
  .endr
  jmp 9f
3:
  kvant_p = 0
  .rept \pixels
    kvant_pack_\vectors %(kvant_p*\vectors), %(kvant_p*\vectors+1), %(kvant_p*\vectors+2), %(kvant_p*\vectors+3)
    kvant_store_some_\vectors %(kvant_p*\vectors)
    add rsi, r8
    kvant_p = kvant_p + 1
  .endr
9:
.endm
.macro kvant_tile size
  kvant_tile_of %(\size/16), %(\size-\size/16*16)
.endm

.noaltmacro
.att_syntax prefix
)");
