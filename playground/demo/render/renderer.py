"""Draws a baked room with OpenGL (Mesa's llvmpipe is enough): anti-aliased RGB, and depth with object identities."""

from __future__ import annotations

from dataclasses import dataclass

import moderngl
import numpy as np

from .geometry import Array
from .mesh import Mesh
from .room import Room

VERTEX_SHADER = """
#version 330
uniform mat4 to_clip;
in vec3 position; in vec3 normal; in vec2 uv; in vec3 colour; in vec4 style; in vec3 light;
out vec3 point; out vec3 facing; out vec2 st; out vec3 tint;
out vec3 irradiance; flat out vec4 look;
void main() {
    point = position; facing = normal; st = uv; tint = colour; irradiance = light; look = style;
    gl_Position = to_clip * vec4(position, 1.0);
}
"""

FRAGMENT_SHADER = """
#version 330
uniform sampler2DArray textures;
uniform vec3 eye;
uniform float exposure;
uniform mat3 panes[2];  // per window: corner, edge u, edge v
in vec3 point; in vec3 facing; in vec2 st; in vec3 tint;
in vec3 irradiance; flat in vec4 look;
layout(location = 0) out vec4 rgb;
layout(location = 1) out vec2 depth_and_identity;

float pane_mirrored(mat3 pane, vec3 direction, float blur) {
    vec3 normal = cross(pane[1], pane[2]);
    float t = dot(pane[0] - point, normal) / dot(direction, normal);
    if (t <= 0.0) return 0.0;
    vec3 offset = point + t * direction - pane[0];
    vec2 at = vec2(dot(offset, pane[1]) / dot(pane[1], pane[1]), dot(offset, pane[2]) / dot(pane[2], pane[2]));
    vec2 inside = smoothstep(-blur, blur, at) * (1.0 - smoothstep(1.0 - blur, 1.0 + blur, at));
    return inside.x * inside.y;
}

vec3 filmic(vec3 x) {
    vec3 soft = 1.0 - exp(-x);
    return mix(soft, soft * soft * (3.0 - 2.0 * soft), 0.5);
}

void main() {
    vec3 albedo = tint * pow(texture(textures, vec3(st, look.x)).rgb, vec3(2.2));
    vec3 radiance = albedo * (irradiance / 3.14159 + look.z);
    if (look.y > 0.0) {
        vec3 view = normalize(point - eye);
        vec3 n = normalize(facing);
        n = dot(n, view) > 0.0 ? -n : n;
        vec3 bounce = reflect(view, n);
        float fresnel = 0.04 + 0.96 * pow(1.0 - max(dot(n, bounce), 0.0), 5.0);
        float blur = mix(0.6, 0.06, look.y);
        float sky = pane_mirrored(panes[0], bounce, blur) + pane_mirrored(panes[1], bounce, blur);
        float open_sky = clamp(0.25 + dot(irradiance, vec3(0.3)), 0.0, 1.0);
        radiance += look.y * fresnel * open_sky * (3.5 * sky * vec3(0.92, 0.97, 1.0) + 0.25 * irradiance / 3.14159);
    }
    rgb = vec4(pow(filmic(exposure * radiance), vec3(1.0 / 2.2)), 1.0);
    depth_and_identity = vec2(1.0 / gl_FragCoord.w, look.w);
}
"""


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera: focal lengths and principal point in pixels; the image spans 0..width and 0..height."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float


def clip_matrix(camera: Intrinsics, camera_to_world: Array, near: float = 0.05, far: float = 30.0) -> Array:
    """4x4 matrix from world points to OpenGL clip space for an OpenCV camera pose (x right, y down, z forward)."""
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    projection = np.zeros((4, 4))
    projection[0, 0], projection[0, 2] = 2 * camera.fx / camera.width, 1 - 2 * camera.cx / camera.width
    projection[1, 1], projection[1, 2] = 2 * camera.fy / camera.height, 2 * camera.cy / camera.height - 1
    projection[2, 2], projection[2, 3] = -(far + near) / (far - near), -2 * far * near / (far - near)
    projection[3, 2] = -1
    return projection @ flip @ np.linalg.inv(camera_to_world)


def open_context() -> moderngl.Context:
    """An off-screen OpenGL context, through EGL where there is no display."""
    try:
        return moderngl.create_context(standalone=True, backend="egl", libgl="libGL.so.1", libegl="libEGL.so.1")
    except Exception:  # the EGL backend exists on Linux only, and its errors have no common type
        return moderngl.create_standalone_context()


def _box_corners(mesh: Mesh, first: int, count: int) -> Array:
    """Homogeneous corners (8, 4) of the axis-aligned box around a run of triangles."""
    points = mesh.position[mesh.triangles[first : first + count].ravel()]
    ends = np.stack([points.min(0), points.max(0)])
    corners = [(ends[i, 0], ends[j, 1], ends[k, 2], 1.0) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    return np.array(corners)


def _blurred(samples: Array, axis: int) -> Array:
    """Sums of neighbouring samples along an axis with weights 1, 2, 1 (repeating the border)."""
    padded = np.pad(samples, [(1, 1) if a == axis else (0, 0) for a in range(samples.ndim)], mode="edge")
    first, middle, last = (
        np.moveaxis(np.moveaxis(padded, axis, 0)[k : k + samples.shape[axis]], 0, axis) for k in range(3)
    )
    return first + 2 * middle + last


def _in_view(clip: Array) -> bool:
    """False when all corners, given in clip coordinates, lie beyond one side of the picture."""
    x, y, z, w = clip.T
    return not any(np.all(beyond) for beyond in (x > w, x < -w, y > w, y < -w, z < -w))


class Renderer:
    """Renders frames of one room; every pixel takes `supersample` squared samples and their neighbours."""

    def __init__(
        self, mesh: Mesh, room: Room, irradiance: Array, textures: Array, camera: Intrinsics, supersample: int = 2
    ) -> None:
        self.camera, self.factor = camera, supersample
        self.context = open_context()
        self.context.enable(moderngl.DEPTH_TEST)
        self.program = self.context.program(vertex_shader=VERTEX_SHADER, fragment_shader=FRAGMENT_SHADER)
        windows = [np.array([w.corner, w.edge_u, w.edge_v], np.float32) for w in room.lights[:2]]
        self.program["panes"].write(np.stack(windows).tobytes())
        self.program["exposure"].value = 2.0
        self._upload(mesh, irradiance, textures)
        full, large = (camera.width, camera.height), (camera.width * supersample, camera.height * supersample)
        exact = [self.context.texture(full, 4), self.context.texture(full, 2, dtype="f4")]
        self.exact = self.context.framebuffer(exact, self.context.depth_renderbuffer(full))
        self.large = self.context.framebuffer([self.context.texture(large, 4)], self.context.depth_renderbuffer(large))

    def _upload(self, mesh: Mesh, irradiance: Array, textures: Array) -> None:
        """Send vertices, triangles and textures to the device once."""
        columns = (mesh.position, mesh.normal, mesh.uv, mesh.colour, mesh.style, irradiance)
        vertices = self.context.buffer(np.concatenate(columns, axis=1).astype(np.float32).tobytes())
        names = ("position", "normal", "uv", "colour", "style", "light")
        layout = [(vertices, "3f 3f 2f 3f 4f 3f", *names)]
        self.vertices = self.context.vertex_array(self.program, layout, self.context.buffer(mesh.triangles.tobytes()))
        layers, height, width = textures.shape[:3]
        self.textures = self.context.texture_array((width, height, layers), 3, textures.tobytes())
        self.textures.build_mipmaps()
        self.textures.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
        self.runs = [(first, count, _box_corners(mesh, first, count)) for _, first, count in mesh.runs.tolist()]

    def _draw(self, target: moderngl.Framebuffer, camera_to_world: Array) -> None:
        target.use()
        target.clear(0.0, 0.0, 0.0, 0.0)
        self.textures.use(0)
        to_clip = clip_matrix(self.camera, camera_to_world)
        self.program["to_clip"].write(to_clip.T.astype("f4").tobytes())
        self.program["eye"].value = tuple(float(c) for c in camera_to_world[:3, 3])
        for first, count, corners in self.runs:
            if _in_view(corners @ to_clip.T):
                self.vertices.render(vertices=3 * count, first=3 * first)

    def frame(self, camera_to_world: Array) -> Array:
        """The picture from a pose as uint8 (height, width, 3)."""
        self._draw(self.large, camera_to_world)
        c, s = self.camera, self.factor
        data = np.frombuffer(self.large.read(components=3, alignment=1), np.uint8)
        samples = data.reshape(c.height * s, c.width * s, 3)[::-1].astype(np.uint16)
        if s > 1:  # a tent over neighbouring samples: smoother edges than averaging the samples of one pixel
            samples = _blurred(_blurred(samples, 0), 1)
        pixels = samples.reshape(c.height, s, c.width, s, 3).mean(axis=(1, 3))
        return (pixels / (16 if s > 1 else 1) + 0.5).astype(np.uint8)

    def depth_and_identity(self, camera_to_world: Array) -> tuple[Array, Array]:
        """Depth along the optical axis in metres and object identity (0 is the shell), each (height, width)."""
        self._draw(self.exact, camera_to_world)
        data = np.frombuffer(self.exact.read(components=2, attachment=1, dtype="f4"), np.float32)
        data = data.reshape(self.camera.height, self.camera.width, 2)[::-1]
        return data[..., 0], np.rint(data[..., 1]).astype(int)
