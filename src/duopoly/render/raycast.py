"""Pictures without OpenGL: rays cast by MuJoCo, shaded in NumPy.

For machines that can neither reach a GPU nor load a software OpenGL. Light and colour are simple:
a sun with shadows, a lamp at the camera, a sky, and chequered planes.
"""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo's compiled modules carry no types.)

from typing import Any

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

_SUN = np.array([0.35, -0.45, 0.82])
"""Direction towards the sun, about unit length."""
_SUN_DISTANCE = 30.0
_AMBIENT, _LAMP, _SUNLIGHT = 0.36, 0.28, 0.52
_SKY_LOW, _SKY_HIGH = np.array([0.93, 0.95, 0.97]), np.array([0.55, 0.68, 0.84])
_TILE = 0.25
"""Side of a tile, in m."""
_TILE_FADES = 8.0
"""Distance over which tiles fade into their mean, in m, before they get too small to show."""
_EDGE = 0.06
"""Difference of colour between neighbouring pixels from which on they are drawn more finely."""
_SUBPIXELS = ((-0.25, -0.25), (-0.25, 0.25), (0.25, -0.25), (0.25, 0.25))


class RayCaster:
    """Draws a MuJoCo scene on the CPU: one ray per pixel, four where colours meet."""

    def __init__(self, model: Any, height: int, width: int) -> None:
        self._model = model
        self._scene = mujoco.MjvScene(model, maxgeom=1_000)
        self._shape = (height, width)
        self._colours = _geom_colours(model)

    def draw(self, data: Any, camera: Any) -> UInt8[np.ndarray, "H W 3"]:
        """The picture that the camera sees."""
        mujoco.mjv_updateScene(
            self._model, data, mujoco.MjvOption(), None, camera, mujoco.mjtCatBit.mjCAT_ALL,
            self._scene,
        )  # fmt: skip
        rows, columns = np.indices(self._shape).reshape(2, -1)
        picture = self._trace(data, rows, columns).reshape(*self._shape, 3)
        rows, columns = np.nonzero(_edges(picture))
        finer = [self._trace(data, rows + down, columns + right) for down, right in _SUBPIXELS]
        picture[rows, columns] = np.mean(finer, axis=0)
        return (255.0 * picture + 0.5).astype(np.uint8)

    def close(self) -> None:
        """Nothing is held."""

    def _trace(self, data: Any, rows: np.ndarray, columns: np.ndarray) -> Float[np.ndarray, "R 3"]:
        """Colours in [0, 1] seen through points of the image, in pixels."""
        eye, rays = _camera_rays(self._scene, self._shape, rows, columns)
        geom, distance, normal = _cast(self._model, data, eye, rays)
        colour = _sky(rays)
        hit = np.nonzero(geom >= 0)[0]
        geom, distance, normal, rays = geom[hit], distance[hit], normal[hit], rays[hit]
        point = eye + rays * distance[:, None]
        light = self._light(data, point, normal, rays)
        surface = self._surface(geom, point, distance)
        colour[hit] = np.minimum(surface * light[:, None], 1.0)
        return colour

    def _light(
        self,
        data: Any,
        point: Float[np.ndarray, "N 3"],
        normal: Float[np.ndarray, "N 3"],
        rays: Float[np.ndarray, "N 3"],
    ) -> Float[np.ndarray, " N"]:
        """Lambert's law for the sun, where nothing hides it, and for a lamp at the camera."""
        facing = -np.einsum("nc,nc->n", normal, rays)
        normal = normal * np.sign(facing)[:, None]
        sun = np.maximum(normal @ _SUN, 0.0) * self._sees_sun(data, point + 1e-3 * normal)
        return _AMBIENT + _LAMP * np.abs(facing) + _SUNLIGHT * sun

    def _sees_sun(self, data: Any, point: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, " N"]:
        if not len(point):
            return np.zeros(0, bool)
        # The rays of one call share their origin, so they run from the sun to the points.
        source = np.median(point, axis=0) + _SUN_DISTANCE * _SUN
        way = point - source
        length = np.sqrt(np.einsum("nc,nc->n", way, way))
        _, distance, _ = _cast(self._model, data, source, way / length[:, None])
        return distance > length - 5e-3

    def _surface(
        self,
        geom: Int[np.ndarray, " N"],
        point: Float[np.ndarray, "N 3"],
        distance: Float[np.ndarray, " N"],
    ) -> Float[np.ndarray, "N 3"]:
        """Colour of each geom; planes are chequered."""
        is_plane = self._model.geom_type[geom] == int(mujoco.mjtGeom.mjGEOM_PLANE)
        x, y = np.floor(point[:, 0] / _TILE), np.floor(point[:, 1] / _TILE)
        contrast = 0.05 * np.exp(-distance / _TILE_FADES)
        shade = 1.0 + np.where(is_plane, (2.0 * ((x + y) % 2) - 1.0) * contrast, 0.0)
        return self._colours[geom] * shade[:, None]


def sky_through(
    scene: Any, shape: tuple[int, int], rows: np.ndarray, columns: np.ndarray
) -> Float[np.ndarray, "R 3"]:
    """Colours of the sky, in [0, 1], seen through points of a scene's image, in pixels.

    Args:
        scene: as MuJoCo has brought it up to date, with its camera.
        shape: height and width of the image, in pixels.
        rows: from the top.
        columns: from the left.
    """
    return _sky(_camera_rays(scene, shape, rows, columns)[1])


def _camera_rays(
    scene: Any, shape: tuple[int, int], rows: np.ndarray, columns: np.ndarray
) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, "R 3"]]:
    """Position of the scene's camera, midway between its two eyes, and unit rays from it."""
    height, width = shape
    view, other_eye = scene.camera
    top, bottom = view.frustum_top / view.frustum_near, view.frustum_bottom / view.frustum_near
    pixel = (top - bottom) / height
    forward, up = np.array(view.forward, float), np.array(view.up, float)
    across = pixel * (columns + 0.5 - width / 2)
    upward = top - pixel * (rows + 0.5)
    rays = forward + upward[:, None] * up + across[:, None] * np.cross(forward, up)
    rays /= np.sqrt(np.einsum("rc,rc->r", rays, rays))[:, None]
    return (np.array(view.pos, float) + np.array(other_eye.pos, float)) / 2, rays


def _cast(
    model: Any, data: Any, origin: Float[np.ndarray, " 3"], rays: Float[np.ndarray, "R 3"]
) -> tuple[Int[np.ndarray, " R"], Float[np.ndarray, " R"], Float[np.ndarray, "R 3"]]:
    """First geom along each ray (-1: none), its distance (infinite: none) and surface normal."""
    num_rays = len(rays)
    geom = np.full(num_rays, -1, np.int32)
    distance = np.full(num_rays, -1.0)
    normal = np.zeros(3 * num_rays)
    if num_rays:
        mujoco.mj_multiRay(
            model, data, origin, rays.ravel(), None, True, -1, geom, distance, normal, num_rays,
            mujoco.mjMAXVAL,
        )  # fmt: skip
    return geom, np.where(geom < 0, np.inf, distance), normal.reshape(-1, 3)


def _sky(rays: Float[np.ndarray, "R 3"]) -> Float[np.ndarray, "R 3"]:
    return _SKY_LOW + (_SKY_HIGH - _SKY_LOW) * (0.5 + 0.5 * rays[:, 2:])


def _edges(picture: Float[np.ndarray, "H W 3"]) -> Bool[np.ndarray, "H W"]:
    """Pixels that differ from a neighbour below or beside them."""
    edges = np.zeros(picture.shape[:2], bool)
    below = (np.abs(picture[1:] - picture[:-1]) > _EDGE).any(axis=2)
    beside = (np.abs(picture[:, 1:] - picture[:, :-1]) > _EDGE).any(axis=2)
    edges[1:] |= below
    edges[:-1] |= below
    edges[:, 1:] |= beside
    edges[:, :-1] |= beside
    return edges


def _geom_colours(model: Any) -> Float[np.ndarray, "geoms 3"]:
    """Each geom's own colour, or its material's where it has none of its own."""
    colours = np.array(model.geom_rgba[:, :3], float)
    undyed = (model.geom_rgba == [0.5, 0.5, 0.5, 1.0]).all(axis=1)  # MuJoCo's default
    for geom in np.nonzero(undyed & (model.geom_matid >= 0))[0]:
        colours[geom] = _material_colour(model, int(model.geom_matid[geom]))
    return colours


def _material_colour(model: Any, material: int) -> Float[np.ndarray, " 3"]:
    """A material's colour, tinted by the mean of its texture if it has one."""
    colour = np.array(model.mat_rgba[material, :3], float)
    texture = int(model.mat_texid[material, int(mujoco.mjtTextureRole.mjTEXROLE_RGB)])
    if texture < 0:
        return colour
    start, channels = int(model.tex_adr[texture]), int(model.tex_nchannel[texture])
    size = int(model.tex_height[texture]) * int(model.tex_width[texture]) * channels
    pixels = model.tex_data[start : start + size].reshape(-1, channels)[:, :3]
    return colour * pixels.mean(axis=0) / 255.0
