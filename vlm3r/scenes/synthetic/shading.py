"""How a point of a surface becomes a colour, once for OpenGL (GLSL) and once for NumPy; both say the same.

Light is in exposed units: a radiance of 1 is bright but not yet white.
"""

from __future__ import annotations

import numpy as np

from .shapes import Array

MAX_PANES = 8
"""Windows that glossy surfaces can mirror."""
EMISSION = 1.15
"""Radiance of a surface with emission 1: lamps and the view outside look alike at every exposure."""
SKY = np.array([6.4, 6.8, 7.0])
"""Radiance of a mirrored window."""
AMBIENT_GLOSS = 0.5
"""How strongly a glossy surface mirrors the light around it, relative to that light."""
CONTRAST = 0.35
"""Share of the S-curve in the picture's tones."""

GLSL = f"""
#define MAX_PANES {MAX_PANES}
uniform int pane_count;
uniform mat3 panes[MAX_PANES];  // corner, edge u, edge v

float mirrored_panes(vec3 point, vec3 direction, float blur) {{
    float sum = 0.0;
    for (int i = 0; i < pane_count; i++) {{
        mat3 pane = panes[i];
        vec3 normal = cross(pane[1], pane[2]);
        float slope = dot(direction, normal);
        if (slope >= 0.0) continue;
        float t = dot(pane[0] - point, normal) / slope;
        vec3 offset = point + t * direction - pane[0];
        vec2 at = vec2(dot(offset, pane[1]) / dot(pane[1], pane[1]), dot(offset, pane[2]) / dot(pane[2], pane[2]));
        vec2 inside = smoothstep(-blur, blur, at) * (1.0 - smoothstep(1.0 - blur, 1.0 + blur, at));
        sum += t > 0.0 ? inside.x * inside.y : 0.0;
    }}
    return sum;
}}

vec3 radiance(vec3 albedo, vec3 point, vec3 facing, vec4 light, float gloss, float emission, vec3 eye) {{
    vec3 result = albedo * (light.rgb / 3.14159 + {EMISSION} * emission);
    if (gloss > 0.0) {{
        vec3 view = normalize(point - eye);
        vec3 n = normalize(facing);
        n = dot(n, view) > 0.0 ? -n : n;
        vec3 bounce = reflect(view, n);
        float grazing = 1.0 - max(dot(n, bounce), 0.0);
        float fresnel = 0.04 + 0.96 * grazing * grazing * grazing * grazing * grazing;
        float sky = light.a > 0.0 ? light.a * mirrored_panes(point, bounce, mix(0.6, 0.06, gloss)) : 0.0;
        result += gloss * fresnel * (sky * vec3({", ".join(map(str, SKY))}) + {AMBIENT_GLOSS} * light.rgb / 3.14159);
    }}
    return result;
}}

vec3 developed(vec3 x) {{
    vec3 soft = 1.0 - exp(-x);
    return pow(mix(soft, soft * soft * (3.0 - 2.0 * soft), {CONTRAST}), vec3(1.0 / 2.2));
}}
"""


def linear(texture: Array) -> Array:
    """Linear light 0..1 of the 8-bit values of a texture."""
    return (texture.astype(np.float32) / 255) ** 2


def radiance(
    albedo: Array, point: Array, facing: Array, light: Array, gloss: Array, emission: Array, eye: Array, panes: Array
) -> Array:
    """Exposed radiance (pixel, 3) that leaves surface points towards `eye` (3,).

    Args:
        albedo: (pixel, 3) linear.
        point: (pixel, 3) metres.
        facing: (pixel, 3) normals, of any length and side.
        light: (pixel, 4) exposed irradiance and the unobstructed share of the windows.
        gloss: (pixel,).
        emission: (pixel,).
        eye: (3,).
        panes: (pane, 3, 3) corner, edge u, edge v.
    """
    result = albedo * (light[:, :3] / 3.14159 + EMISSION * emission[:, None])
    shiny = np.flatnonzero(gloss > 0)
    p, g, l = point[shiny], gloss[shiny], light[shiny]  # noqa: E741
    view, n = _unit(p - eye), _unit(facing[shiny])
    n = np.where((n * view).sum(1, keepdims=True) > 0, -n, n)
    bounce = view - 2 * (n * view).sum(1, keepdims=True) * n
    fresnel = 0.04 + 0.96 * (1 - np.clip((n * bounce).sum(1), 0, None)) ** 5
    sky = l[:, 3] * _mirrored_panes(p, bounce, 0.6 + g * (0.06 - 0.6), panes)
    result[shiny] += (g * fresnel)[:, None] * (sky[:, None] * SKY + AMBIENT_GLOSS * l[:, :3] / 3.14159)
    return result


def _mirrored_panes(point: Array, direction: Array, blur: Array, panes: Array) -> Array:
    total = np.zeros(len(point))
    for corner, *edges in panes.astype(float):
        normal = np.cross(*edges)
        slope = direction @ normal
        t = ((corner - point) @ normal) / np.where(slope < 0, slope, -1.0)
        offset = point + t[:, None] * direction - corner
        inside = (slope < 0) & (t > 0)
        for edge in edges:
            at = offset @ edge / (edge @ edge)
            inside = inside * _smoothstep(-blur, blur, at) * (1 - _smoothstep(1 - blur, 1 + blur, at))
        total += inside
    return total


def developed(radiance: Array) -> Array:
    """The picture's values 0..1 of exposed radiance: highlights roll off, and the screen's gamma."""
    soft = 1 - np.exp(-radiance)
    return np.clip(soft + CONTRAST * (soft * soft * (3 - 2 * soft) - soft), 0, 1) ** (1 / 2.2)


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _smoothstep(low: Array, high: Array, x: Array) -> Array:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
